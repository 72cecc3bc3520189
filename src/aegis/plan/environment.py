"""Every environment variable that Aegis reads, in one table; ``.env.example`` says the same.

Those with a plan key stand in for it; the others are read where they are needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aegis.plan.layers import Layer, Said


@dataclass(frozen=True)
class Variable:
    name: str
    meaning: str
    default: str
    keys: tuple[str, ...] = ()


ENVIRONMENT: Mapping[str, Variable] = {
    variable.name: variable
    for variable in (
        Variable(
            "AEGIS_HOME", "The data root: models, results, logs, the database.", "./aegis-data"
        ),
        Variable("AEGIS_DATA_DIR", "Where data sets lie.", ""),
        Variable(
            "AEGIS_TOKEN",
            "What a coordinator's console asks of a program.",
            "keys/console.token in the data root",
        ),
        Variable("AEGIS_CONTACT", "Whom readers of the clinical page may ask.", ""),
        Variable(
            "AEGIS_ROAD",
            "The road between coordinator and hospitals: flower or xmpp.",
            "flower; xmpp in docker-compose.yml",
        ),
        Variable(
            "AEGIS_PLUGINS_DIR",
            "Where tasks of your own lie, found by name.",
            "plugins in the data root",
        ),
        Variable(
            "AEGIS_CACHE_DIR",
            "Where public numbers that are costly to make are kept.",
            "aegis in the user's cache folder",
        ),
        Variable("XDG_CACHE_HOME", "The user's cache folder.", "~/.cache"),
        Variable(
            "AEGIS_KEY_PASSPHRASE", "What opens a key file that was made with a passphrase.", ""
        ),
        Variable(
            "AEGIS_OIDC_ISSUER",
            "The provider that vouches for a console's people, https://HOST.",
            "none; people log in with a password",
        ),
        Variable("AEGIS_OIDC_CLIENT_ID", "What the provider calls this console.", ""),
        Variable("AEGIS_OIDC_CLIENT_SECRET", "This console's secret at the provider.", ""),
        Variable(
            "AEGIS_OIDC_ROLES",
            "The claim that gives roles: CLAIM, or CLAIM: WORD=ROLE, WORD=ROLE.",
            "aegis_roles",
        ),
        Variable(
            "MIN_AGENTS",
            "How many hospitals must answer for a round to count: a number, or all.",
            "two thirds of the hospitals",
            ("federated.quorum",),
        ),
        Variable(
            "DP_EPSILON",
            "The most a run may spend at each hospital, in all; 0 turns differential privacy off.",
            "as the plan says",
            ("privacy.enabled", "privacy.epsilon_budget"),
        ),
        Variable(
            "DP_CLIP_NORM",
            "The L2 norm that gradients or updates are clipped to.",
            "as the plan says",
            ("privacy.max_grad_norm",),
        ),
        Variable("USE_SPARK", "Whether hospitals train in Spark: true or false.", "false"),
        Variable(
            "JAVA_HOME", "Where Java is, for hospitals that train in Spark.", "java on the path"
        ),
        Variable("XMPP_SERVER", "The host name of the XMPP message broker.", "localhost"),
        Variable(
            "AEGIS_LOG",
            "What a process writes to stderr: text for people, or json for a collector.",
            "text",
        ),
        Variable(
            "LOG_LEVEL",
            "From which level on: DEBUG, INFO, WARNING, ERROR or CRITICAL.",
            "WARNING; INFO where AEGIS_LOG is json",
        ),
        Variable(
            "AEGIS_DATABASE_URL",
            "The PostgreSQL database that holds the journal: postgresql://USER@HOST/NAME.",
            "none; the journal is an SQLite file",
        ),
        Variable(
            "MLFLOW_TRACKING_URI",
            "The MLflow that runs are mirrored to: a server, sqlite:///FILE or file:///FOLDER.",
            "",
        ),
        Variable("MLFLOW_EXPERIMENT_NAME", "Its experiment.", "aegis"),
        Variable(
            "AEGIS_S3_BUCKET",
            "The bucket that backups and models may be pushed to.",
            "none; nothing is pushed",
        ),
        Variable("AEGIS_S3_ENDPOINT", "The S3-compatible store, https://HOST[:PORT].", "Amazon's"),
        Variable("AEGIS_S3_PREFIX", "What every key in the bucket begins with.", ""),
        Variable("AWS_ACCESS_KEY_ID", "Who this is to the store.", "as the AWS tools find it"),
        Variable("AWS_SECRET_ACCESS_KEY", "Its secret.", "as the AWS tools find it"),
        Variable("AWS_SESSION_TOKEN", "The token of a session that ends.", ""),
        Variable("AWS_REGION", "The store's region.", "AWS_DEFAULT_REGION, or us-east-1"),
        Variable("AWS_DEFAULT_REGION", "The region where AWS_REGION says nothing.", "us-east-1"),
    )
}


def said_in(environment: Mapping[str, str | None], where: str) -> Layer:
    """What an environment says about the plan. A variable that is empty says nothing."""
    from aegis.plan.syntax import scalar

    layer: Layer = {}
    for variable in ENVIRONMENT.values():
        text = (environment.get(variable.name) or "").strip()
        if not text or not variable.keys:
            continue
        value, origin = scalar(text), f"{where} {variable.name}"
        if variable.name == "DP_EPSILON":
            off = value == 0 and not isinstance(value, bool)
            layer["privacy.enabled"] = Said(not off, origin)
            if off:
                continue
        layer[variable.keys[-1]] = Said(value, origin)
    return layer
