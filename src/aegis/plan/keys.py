"""Every key of a plan: its name, its bounds, its default and one sentence that says what it is.

The attribute path is the YAML path. The models are frozen, refuse what they do not know, and are
strict: ``true`` is no number and ``"5"`` no five, so a slip of the pen cannot become a setting.
The console shows the sentences, ``aegis plan check`` turns the bounds into words.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict

Trust: TypeAlias = Literal["open", "masked", "grouped"]
Rule: TypeAlias = Literal[
    "fedavg",
    "median",
    "trimmed_mean",
    "krum",
    "multi_krum",
    "bulyan",
    "foolsgold",
    "centered_clipping",
    "geometric_median",
    "nnm_trimmed_mean",
    "bucketing",
]
Mechanism: TypeAlias = Literal["none", "dp_sgd", "local_update", "distributed"]

DEFAULT_TRUST: Trust = "masked"
IMAGE_NETWORKS = frozenset({"simple_cnn", "resnet18", "densenet121", "scattering"})
SIGNAL_NETWORKS = frozenset({"cnn1d"})

Whole: TypeAlias = Annotated[int, Strict()]
Number: TypeAlias = Annotated[float, Strict()]
Switch: TypeAlias = Annotated[bool, Strict()]
Text: TypeAlias = Annotated[str, Strict(), Field(min_length=1)]
Count: TypeAlias = Annotated[int, Strict(), Field(ge=1)]
Above0: TypeAlias = Annotated[float, Strict(), Field(gt=0)]
From0: TypeAlias = Annotated[float, Strict(), Field(ge=0)]
Width: TypeAlias = Annotated[int, Strict(), Field(ge=1, le=4096)]
Rate: TypeAlias = Annotated[float, Strict(), Field(ge=0, lt=1)]
Weight: TypeAlias = Annotated[float, Strict(), Field(gt=0, le=1000)]


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def key(default: Any, says: str, unit: str = "", **bounds: Any) -> Any:
    return Field(default, description=says, json_schema_extra={"unit": unit}, **bounds)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


class Data(Section):
    path: Text | None = key(None, "A file, or a folder with one file or folder per hospital.")
    label: Text | None = key(None, "The column that holds the diagnosis.")
    positive: Annotated[Text | None, BeforeValidator(_as_text)] = key(
        None, "The value of the label column that means disease."
    )
    group: Text | None = key(None, "The patient column: rows of one patient are never split.")
    pixels: Annotated[int, Strict(), Field(ge=16, le=256)] | None = key(
        None, "The side of the squares that images are brought to; null takes the task's.", "pixels"
    )
    sites: Annotated[tuple[Text, ...], Field(min_length=1)] | None = key(
        None, "The centres to take; null takes all of them."
    )
    rows: Literal["complete", "all"] = key(
        "complete", "Take complete rows only, or fill in what is missing."
    )
    synthetic: Switch = key(
        False, "Use an invented look-alike, labelled SYNTHETIC wherever it shows."
    )
    standardize: Literal["federated", "site", "none"] = key(
        "federated",
        "Scale columns by the sums of all hospitals, by each site's own, or not at all.",
    )
    test_fraction: Number = key(
        0.2, "The share of each hospital's rows held out for testing.", "share of rows", gt=0, lt=1
    )
    validation_fraction: Number = key(
        0.0,
        "The share held out for choosing a round, stopping early or lowering the rate.",
        "share of rows",
        ge=0,
        lt=1,
    )


class Partition(Section):
    by: Literal["site", "dirichlet", "age", "demographic", "iid"] = key(
        "dirichlet", "How rows are dealt to simulated hospitals; site keeps the real centres."
    )
    alpha: Number = key(
        0.5, "How alike the hospitals are under dirichlet: the smaller, the more different.", gt=0
    )


class Federated(Section):
    num_clients: Whole = key(5, "How many hospitals take part.", "hospitals", ge=1, le=1000)
    num_rounds: Annotated[int, Strict(), Field(ge=1, le=100_000)] | None = key(
        10, "How many rounds at most; null lets the noise rule decide.", "rounds"
    )
    quorum: Count | Literal["all"] | None = key(
        None, "How many must answer for a round to count; null asks for two thirds.", "hospitals"
    )
    deadline_s: Number = key(
        60.0, "How long a round waits for absent hospitals.", "seconds", gt=0, le=604_800
    )
    attempts: Whole = key(3, "How often a round without quorum is tried again.", ge=1, le=100)
    fraction_fit: Number = key(
        1.0, "The share of the hospitals asked in each round.", "share of hospitals", gt=0, le=1
    )
    selection: Literal["all", "random", "resource_based", "participation_based"] = key(
        "all", "Who is asked: everybody, a lot, the faster ones, or those asked least so far."
    )
    evaluate_only: tuple[Text, ...] = key(
        (), "Hospitals that score the model on all their rows and never train."
    )
    partition: Partition = Field(default_factory=Partition)


class Model(Section):
    name: Text = key("logistic", "The model that is trained.")
    num_classes: Whole = key(2, "How many diagnoses are told apart.", "classes", ge=2, le=1000)
    hidden: Annotated[tuple[Width, ...], Field(min_length=1, max_length=16)] | None = key(
        None, "The widths of the hidden layers; null takes the model's own.", "units"
    )
    dropout: Annotated[tuple[Rate, ...], Field(max_length=16)] | None = key(
        None,
        "One dropout rate for each hidden layer; null takes the model's own.",
        "share of units",
    )
    activation: Literal["relu", "tanh"] | None = key(
        None, "What follows the convolutions of simple_cnn and cnn1d; null means relu."
    )
    freeze_backbone: Switch = key(
        False, "Train the last layer of a network only; for models that start from another."
    )
    start: Text | None = key(None, "A stored version or a file to start from; null starts fresh.")
    init: Literal["zeros", "uniform"] | None = key(
        None, "Where a fresh model starts; null means zeros for logistic, uniform for networks."
    )


class Training(Section):
    solver: Literal["sgd", "gradient", "newton"] = key(
        "sgd", "Local mini-batch steps, one full-batch gradient step, or one exact Newton step."
    )
    batch_size: Whole = key(32, "Rows in one step of sgd.", "rows", ge=1, le=1_000_000)
    learning_rate: Annotated[float, Strict(), Field(gt=0, le=100_000)] | None = key(
        0.05, "The length of a step in the first round; null lets the noise rule decide."
    )
    learning_rate_decay: Number = key(
        1.0, "What the rate is multiplied by after each round.", "per round", gt=0, le=1
    )
    schedule: Literal["constant", "plateau"] = key(
        "constant", "Keep the rate, or lower it when the validation metric no longer improves."
    )
    plateau_factor: Number = key(0.5, "What a plateau multiplies the rate by.", gt=0, lt=1)
    plateau_patience: Whole = key(2, "Rounds without gain that make a plateau.", "rounds", ge=1)
    local_epochs: Whole = key(
        1, "Passes over a hospital's rows in each round.", "epochs", ge=1, le=10_000
    )
    local_steps: Count | None = key(
        None, "Steps in each round; where given, it takes the place of local_epochs.", "steps"
    )
    optimizer: Literal["sgd", "adam"] = key("sgd", "How a hospital turns a gradient into a step.")
    momentum: Number = key(0.0, "How much of the last step is kept.", ge=0, lt=1)
    weight_decay: Number = key(0.0, "Shrinks the weights in every step.", ge=0)
    local_odds: Switch = key(
        False,
        "A hospital sets how often illness is met there against all hospitals, while it trains.",
    )
    proximal_mu: Number = key(0.0, "Pulls local weights towards the shared model (FedProx).", ge=0)
    l2: Number = key(
        0.0,
        "Ridge penalty l2/2 |w|^2 added to the sum of all log-losses (scikit-learn's 1/C).",
        ge=0,
    )
    class_weights: Annotated[tuple[Weight, ...], Field(min_length=2, max_length=1000)] | None = key(
        None,
        "How much a row of each class counts in training, in the order of the labels; null: 1.",
    )
    tolerance: Above0 | None = key(
        None, "Newton and gradient stop when no weight changes by more than this; null never stops."
    )


class Server(Section):
    optimizer: Literal[
        "fedavg", "fedavgm", "fedadam", "fedyogi", "fedadagrad", "scaffold", "cyclic"
    ] = key("fedavg", "How the coordinator turns the mean change into a new model.")
    learning_rate: Number = key(1.0, "How much of the change is taken.", gt=0, le=1000)
    momentum: Number = key(0.9, "How much of the last change fedavgm keeps.", ge=0, lt=1)
    beta1: Number = key(0.9, "Memory of the mean, for fedadam, fedyogi and fedadagrad.", ge=0, lt=1)
    beta2: Number = key(0.999, "Memory of the square, for fedadam and fedyogi.", ge=0, lt=1)
    tau: Number = key(
        1e-8, "Keeps the adaptive step finite; added to the root of the square.", gt=0
    )


class Evaluation(Section):
    every: Whole = key(1, "Evaluate after every so many rounds; 0 only at the end.", "rounds", ge=0)
    keep: Literal["last", "best"] = key(
        "last", "Which round's model is kept; best is chosen on validation rows."
    )
    metric: Literal["auc", "accuracy", "balanced_accuracy", "average_precision", "log_loss"] = key(
        "auc", "What best, patience and plateau look at."
    )
    gate: Annotated[float, Strict(), Field(ge=1, le=1000)] | None = key(
        None,
        "A round whose validation loss exceeds this many times the best is undone; null: none.",
        "times the lowest log-loss",
    )
    patience: Count | None = key(
        None, "Stop after so many evaluations without gain; null never stops early.", "evaluations"
    )


class Privacy(Section):
    enabled: Switch = key(False, "Whether differential privacy is on.")
    mechanism: Mechanism = key(
        "none", "Noise inside each gradient, on each update, or shared out inside the secure sum."
    )
    epsilon_budget: Number = key(
        1.0,
        "The most this run may spend at each hospital, over all rounds and statistics.",
        "epsilon",
        gt=0,
    )
    delta: Number = key(1e-5, "The chance that the epsilon bound does not hold.", gt=0, lt=1)
    noise_multiplier: From0 | None = key(
        None, "Noise over clipping norm; null is calculated from the budget."
    )
    max_grad_norm: Above0 | None = key(
        1.0,
        "The norm that gradients or updates are clipped to; null: by the noise rule.",
        "L2",
    )
    noise: Literal["gaussian", "laplace"] = key("gaussian", "The shape of the noise.")
    colluding: Whole = key(1, "Hospitals assumed to share their noise with the coordinator.", ge=0)


class SecureAggregation(Section):
    enabled: Switch = key(True, "Whether the coordinator sees sums only.")
    use_masking: Switch = key(True, "Whether updates are masked inside the secure sum.")
    audit_enabled: Switch = key(True, "Whether each step goes to the audit log.")


class RobustAggregation(Section):
    enabled: Switch = key(False, "Whether a rule guards against dishonest hospitals.")
    method: Rule = key("fedavg", "The rule that makes one update of many.")
    enable_detection: Switch = key(False, "Whether unusual updates are flagged.")
    num_byzantine: Annotated[int, Strict(), Field(ge=0)] | None = key(
        None, "Dishonest hospitals to withstand; null takes the most the rule allows.", "hospitals"
    )
    z_threshold: Number = key(3.0, "The robust z-score from which an update is flagged.", gt=0)
    trim_ratio: Annotated[float, Strict(), Field(ge=0, lt=0.5)] | None = key(
        None, "The share trimmed at each end; null follows from num_byzantine.", "share of updates"
    )
    multi_krum_k: Count | None = key(None, "How many updates multi_krum keeps.", "updates")


class Thresholds(Section):
    accuracy_parity: Number = key(
        0.15, "The largest accepted gap between two groups' accuracies.", ge=0, le=1
    )
    hospital_variance: Number = key(
        0.05, "The largest accepted variance of accuracy between hospitals.", ge=0, le=1
    )


class Fairness(Section):
    attributes: tuple[Text, ...] = key((), "The attributes by which groups are compared.")
    thresholds: Thresholds = Field(default_factory=Thresholds)


class Keys(Section):
    """All keys with their defaults. ``Plan`` adds what follows from them."""

    task: Text = key("breast_cancer", "What is learned: the data, their columns, the question.")
    seed: Whole = key(16, "Everything random in the run follows from it.", ge=0, le=2**63 - 1)
    trust: Trust = key(
        DEFAULT_TRUST, "What the coordinator sees: each update, their sum, or sums of small groups."
    )
    data: Data = Field(default_factory=Data)
    federated: Federated = Field(default_factory=Federated)
    model: Model = Field(default_factory=Model)
    training: Training = Field(default_factory=Training)
    server: Server = Field(default_factory=Server)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    privacy: Privacy = Field(default_factory=Privacy)
    secure_aggregation: SecureAggregation = Field(default_factory=SecureAggregation)
    robust_aggregation: RobustAggregation = Field(default_factory=RobustAggregation)
    fairness: Fairness = Field(default_factory=Fairness)
