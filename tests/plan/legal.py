"""Legal values for any key, drawn from the plan's own JSON schema."""

from hypothesis import strategies as st

from aegis.plan.layers import defaults
from aegis.plan.sentences import schema_of

NAMES = {
    "task": ["breast_cancer", "heart", "fed_heart_disease", "pneumonia", "hart", "x\u2028y: 1"],
    "model.name": ["logistic", "mlp", "heart_mlp", "simple_cnn", "resnet18", "logistik", "x\x85y"],
}
WORDS = [
    "no",
    "null",
    "1e5",
    "7",
    "~",
    "a: b",
    "#x",
    "heart/3",
    "Zürich",
    " b",
    "'",
    '"',
    "-",
    "é\n",
    "a\u2028b",
    "x\x85y",
]


def values_of(schema):
    if "anyOf" in schema:
        return st.one_of([values_of(choice) for choice in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    match schema["type"]:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "string":
            return st.sampled_from(WORDS)
        case "integer":
            least = schema.get("minimum", 0)
            return st.integers(least, min(schema.get("maximum", 2000), least + 40)) | st.integers(
                least, schema.get("maximum", 10**6)
            )
        case "number":
            return st.floats(
                schema.get("minimum", schema.get("exclusiveMinimum")),
                schema.get("maximum", schema.get("exclusiveMaximum", 1e6)),
                exclude_min="exclusiveMinimum" in schema,
                exclude_max="exclusiveMaximum" in schema,
            )
        case "array":
            items = values_of(schema["items"])
            return st.lists(
                items,
                min_size=schema.get("minItems", 0),
                max_size=min(schema.get("maxItems", 4), 4),
            ).map(tuple)
    raise AssertionError(schema)


def value_of(path):
    return st.sampled_from(NAMES[path]) if path in NAMES else values_of(schema_of(path))


def said(most=12):
    """Some keys with legal values, as somebody might write them."""
    paths = st.lists(st.sampled_from(list(defaults())), unique=True, max_size=most)
    return paths.flatmap(lambda chosen: st.fixed_dictionaries({p: value_of(p) for p in chosen}))
