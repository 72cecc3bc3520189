"""What was said, layer over layer, becomes one value for every key, each with its origin.

A layer is flat: dotted keys to what was said there. Above the defaults lies the task's preset,
above it file, .env, environment and ``--set``. A preset is one recipe for its own model and solver:
where the plan names another, or says a key that the preset's solver does not take, the preset's
``model``, ``training`` and ``server`` stand back.

Some keys follow from the others where nobody says them: the task from the model, the trust mode
from the sections that need one, public ranges and the noise rule's numbers from the mechanism, and
a protection is on where one of its settings was asked for.
Nothing that was asked for is dropped in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from aegis.errors import BadInput
from aegis.plan.keys import DEFAULT_TRUST, IMAGE_NETWORKS, SIGNAL_NETWORKS, Keys, Section


class Said(NamedTuple):
    """One value and the phrase that says where it comes from."""

    value: Any
    origin: str


Layer = dict[str, Said]

FOLLOWING = frozenset(
    {
        "task",
        "trust",
        "privacy.enabled",
        "privacy.mechanism",
        "secure_aggregation.enabled",
        "robust_aggregation.enabled",
    }
)

# What the noise-level rule decides where nobody does, in private full-batch descent.
BY_NOISE_RULE = ("federated.num_rounds", "training.learning_rate", "privacy.max_grad_norm")
MOST_SEALED = 100  # hospitals of one sealed sum: each exchanges keys with each
PRIVATE = ("privacy.mechanism", "privacy.epsilon_budget", "privacy.noise_multiplier")

# What each exact solver has no use for: key -> the value that means "not used".
NOT_FOR_GRADIENT: Mapping[str, Any] = {
    "training.batch_size": 32,
    "training.local_epochs": 1,
    "training.local_steps": None,
    "training.optimizer": "sgd",
    "training.momentum": 0.0,
    "training.weight_decay": 0.0,
    "training.proximal_mu": 0.0,
}
NOT_FOR_NEWTON: Mapping[str, Any] = {
    **NOT_FOR_GRADIENT,
    "training.learning_rate": 0.05,
    "training.learning_rate_decay": 1.0,
    "training.schedule": "constant",
    "server.optimizer": "fedavg",
}


@cache
def defaults() -> Mapping[str, Any]:
    """Every key, in the order in which they are written, with its default."""
    return dict(flatten(Keys().model_dump()))


@cache
def sections() -> frozenset[str]:
    parts = [name.split(".")[:-1] for name in defaults()]
    return frozenset(".".join(p[:n]) for p in parts for n in range(1, len(p) + 1))


def flatten(nested: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys of a nested mapping; an empty section says nothing."""
    for name, value in nested.items():
        path = f"{above}{name}"
        if isinstance(value, Section):
            value = value.model_dump(exclude_unset=True)
        if isinstance(value, Mapping):
            yield from flatten(value, f"{path}.")
        else:
            yield path, value


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        *above, name = path.split(".")
        place = nested
        for part in above:
            place = place.setdefault(part, {})
        place[name] = value
    return nested


def silent(path: str, value: Any) -> bool:
    """Whether this says nothing: an empty section, or null where a value would follow."""
    return value is None and (path in FOLLOWING or path in sections())


def effective(said: Mapping[str, Said]) -> Layer:
    """What was said, and under it preset, consequences and defaults, in the order of the keys.

    Keys that are not known stay, at the end, for the fault finder. Raises ``BadInput`` where the
    task is an installed plug-in that cannot be loaded.
    """
    found = {path: said[path] for path in said if not silent(path, said[path].value)}
    _guard(found)
    spoken = frozenset(found)
    found["task"] = _called_here(found["task"]) if "task" in found else _task(found)
    _scattering(found)
    _private_solver(found)
    _recipe(found)
    for path, value in _preset(found):
        found.setdefault(path, value)
    _switches(found, spoken)
    order = {path: Said(value, "default") for path, value in defaults().items()}
    return {**{path: found.get(path, standard) for path, standard in order.items()}, **found}


def _guard(said: Layer) -> None:
    """Who asks for a guard without naming one gets the rule that lost least in the robustness
    matrix and needs no f, unless updates are to be hidden from it."""

    def value(path: str) -> Any:
        return said[path].value if path in said else None

    hidden = value("secure_aggregation.enabled") is True or value("trust") in ("masked", "grouped")
    if value("robust_aggregation.enabled") is True and not hidden:
        origin = "follows from robust_aggregation.enabled"
        said.setdefault("robust_aggregation.method", Said("centered_clipping", origin))


def _task(said: Layer) -> Said:
    name = said["model.name"].value if "model.name" in said else "logistic"
    if isinstance(name, str) and name in IMAGE_NETWORKS:
        return Said("pneumonia", f"follows from model.name: {name}, an image network")
    if isinstance(name, str) and name in SIGNAL_NETWORKS:
        return Said("ecg", f"follows from model.name: {name}, a network for signals")
    return Said("breast_cancer", "follows from model.name: no image network")


def _called_here(task: Said) -> Said:
    """The name that a task goes by here, where another one was said."""
    from aegis.tasks.task import ALIASES

    name = ALIASES.get(task.value) if isinstance(task.value, str) else None
    return task if name is None else Said(name, f"{task.origin}, called {task.value} there")


def _scattering(said: Layer) -> None:
    """What images are by default has a name of its own: fixed features, logistic regression."""
    name = said.get("model.name")
    if name is None or name.value != "scattering" or not _has_images(said["task"].value):
        return
    said["model.name"] = Said("logistic", "follows from model.name: scattering, fixed features")


def _has_images(task: Any) -> bool:
    from aegis.tasks.task import find_task, task_names

    return task in task_names() and find_task(task).schema.image is not None


def _recipe(said: Layer) -> None:
    """How a network of convolutions trains where nobody says how."""
    from aegis.plan.networks import recipe

    name = said["model.name"].value if "model.name" in said else None
    if isinstance(name, str):
        classes = said["model.num_classes"].value if "model.num_classes" in said else 2
        keys = recipe(name, _noise_wanted(said), classes, _own_training(said))
        for path, value in keys.items():
            said.setdefault(path, Said(value, f"preset of {name}"))


def _own_training(said: Layer) -> bool:
    """Whether somebody said how steps are taken."""
    return any(path.startswith(("training.", "server.")) for path in said)


def _noise_wanted(said: Layer) -> str:
    """The mechanism that is asked for, by its name or by a budget alone."""
    asked = any(path in said and said[path].value not in (None, "none") for path in PRIVATE)
    if "privacy.enabled" in said:
        asked = said["privacy.enabled"].value is True
    mechanism = said["privacy.mechanism"].value if "privacy.mechanism" in said else "dp_sgd"
    return str(mechanism) if asked else "none"


def preset_of(task: Any) -> Mapping[str, Any]:
    """The preset of an installed task, nested; empty for a task that is not installed."""
    from aegis.tasks.task import find_task, task_names

    if task not in task_names():
        return {}
    try:
        return find_task(task).preset
    except (ImportError, AttributeError) as error:
        raise BadInput(
            f"task {task} cannot be loaded: {error}", way_out="Repair or remove its package"
        ) from error


def _private_solver(said: Layer) -> None:
    """Private tables train by full, noisy steps: it beat every other way that was measured. An
    update that is noised as a whole is worth several steps."""
    mechanism = said["privacy.mechanism"].value if "privacy.mechanism" in said else "dp_sgd"
    if "training.solver" in said or mechanism not in ("dp_sgd", "distributed", "local_update"):
        return
    for path in ("privacy.enabled", *PRIVATE):
        if path in said and said[path].value not in (None, "none", False):
            break
    else:
        return
    off = "privacy.enabled" in said and said["privacy.enabled"].value is False
    model = said["model.name"].value if "model.name" in said else "logistic"
    local = any(key in said for key in (*NOT_FOR_GRADIENT, "training.class_weights"))
    if mechanism == "local_update" and not off:
        said["training.solver"] = Said("sgd", "follows from privacy.mechanism")
    elif not off and _classes(said) > 2:
        said["training.solver"] = Said("sgd", "follows from model.num_classes and privacy")
    elif not off and model == "logistic" and not local:
        said["training.solver"] = Said("gradient", f"follows from {path}")


def _classes(said: Layer) -> int:
    own = preset_of(said["task"].value).get("model", {}).get("num_classes", 2)
    asked = said["model.num_classes"].value if "model.num_classes" in said else own
    return asked if isinstance(asked, int) else 2


def _preset(said: Layer) -> Iterator[tuple[str, Said]]:
    task = said["task"].value
    preset = dict(flatten(preset_of(task)))

    def another(path: str) -> bool:
        return path in said and path in preset and said[path].value != preset[path]

    foreign = ""
    if "training.solver" not in said:
        unused = {"newton": NOT_FOR_NEWTON, "gradient": NOT_FOR_GRADIENT}
        for path, unset in unused.get(preset.get("training.solver", ""), {}).items():
            if path in said and said[path].value != unset:
                foreign = foreign or path
        if preset.get("training.solver") == "newton" and _guarded(said):
            foreign = foreign or "robust_aggregation.method"
    standing_back = another("model.name") or another("training.solver") or foreign
    if foreign:
        solver = preset["training.solver"]
        reason = f"follows from {foreign}, which {solver} (preset of {task}) does not take"
        yield "training.solver", Said("sgd", reason)
    for path, value in preset.items():
        if not (standing_back and path.startswith(("model.", "training.", "server."))):
            yield path, Said(value, f"preset of {task}")


def _guarded(said: Layer) -> bool:
    """Whether a rule is asked for that looks at single updates."""
    method, on = said.get("robust_aggregation.method"), said.get("robust_aggregation.enabled")
    named = method is not None and method.value not in (None, "fedavg")
    return named and (on is None or on.value is not False)


def _fit_one_sum(hospitals: Said) -> bool:
    return not isinstance(hospitals.value, int) or 3 <= hospitals.value <= MOST_SEALED


def _public_ranges(found: Layer, spoken: frozenset[str]) -> None:
    """Noise in steps or on updates covers no statistics: columns come to scale by public ranges.
    Where noise covers a hospital's whole update, it may scale by itself."""
    mechanism = found["privacy.mechanism"].value
    scaling = found["data.standardize"].value if "data.standardize" in found else "federated"
    if "data.standardize" in spoken or (scaling, mechanism) == ("site", "local_update"):
        return
    if mechanism in ("dp_sgd", "local_update"):
        origin = f"follows from privacy.mechanism: {mechanism}, which covers no statistics"
        found["data.standardize"] = Said("none", origin)


def _switches(found: Layer, spoken: frozenset[str]) -> None:
    """The keys that follow; only what was spoken counts as asked for, never a preset."""

    def follow(path: str, value: Any, because: str) -> None:
        found.setdefault(path, Said(value, f"follows from {because}"))

    def asked(path: str, nothing: Any) -> bool:
        return path in spoken and found[path].value not in (None, nothing)

    def on(path: str) -> bool:
        return path in found and found[path].value is True

    for path in PRIVATE:
        if asked(path, "none"):
            follow("privacy.enabled", True, path)
    if on("privacy.enabled"):
        follow("privacy.mechanism", "dp_sgd", "privacy.enabled")
        solver = found["training.solver"].value if "training.solver" in found else "sgd"
        if solver == "gradient" and found["privacy.mechanism"].value in ("dp_sgd", "distributed"):
            for path in BY_NOISE_RULE:
                if path not in spoken:
                    found[path] = Said(None, "follows from the noise rule")
        else:
            _public_ranges(found, spoken)
    if asked("robust_aggregation.method", "fedavg"):
        follow("robust_aggregation.enabled", True, "robust_aggregation.method")
    if asked("robust_aggregation.enable_detection", False):
        follow("robust_aggregation.enabled", True, "robust_aggregation.enable_detection")
    if "secure_aggregation.enabled" in found:
        sealed = "masked" if on("secure_aggregation.enabled") else "open"
        follow("trust", sealed, "secure_aggregation.enabled")
    elif on("robust_aggregation.enabled"):
        follow("trust", "open", "robust_aggregation.enabled")
    elif "server.optimizer" in found and found["server.optimizer"].value == "cyclic":
        follow("trust", "open", "server.optimizer: cyclic")
    elif "federated.num_clients" in found and not _fit_one_sum(found["federated.num_clients"]):
        follow("trust", "open", "federated.num_clients")
    trust = found["trust"].value if "trust" in found else DEFAULT_TRUST
    follow("secure_aggregation.enabled", trust in ("masked", "grouped"), "trust")
