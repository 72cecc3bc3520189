"""A plan's data set, dealt to the hospitals of a simulation: their rows, and a node for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from aegis.coordinator.steps import Study
from aegis.errors import BadInput
from aegis.hospital.node import Node
from aegis.hospital.release import Account
from aegis.hospital.site import Memory, Site
from aegis.plan import Plan
from aegis.plan.classes import fault_of_classes
from aegis.simulation.accounts import PUBLIC, simulated_account
from aegis.simulation.engines import with_engines
from aegis.simulation.partition import partition
from aegis.simulation.seals import simulated_keys, simulated_seals
from aegis.tasks.bounded import Bounded
from aegis.tasks.task import DataOptions, Dataset, find_task
from aegis.training.engines import spark_frames


@dataclass(frozen=True)
class Federation:
    """A study with its data set, dealt to hospitals as the plan says."""

    study: Study
    dataset: Dataset
    sites: Mapping[str, Site]

    @classmethod
    def of(cls, plan: Plan, directory: Path | None) -> Federation:
        """Load and deal. Raises ``BadInput`` where the data are missing or cannot be dealt so."""
        data = plan.data
        dataset = find_task(plan.task).load(
            DataOptions(
                directory=directory,
                path=Path(data.path) if data.path else None,
                rows=data.rows,
                sites=tuple(data.sites) if data.sites else None,
                synthetic=data.synthetic,
                seed=plan.seed,
                label=data.label,
                positive=data.positive,
                group=data.group,
                pixels=data.pixels,
                frames=spark_frames,
            )
        )
        return cls.dealt(plan, dataset)

    @classmethod
    def dealt(cls, plan: Plan, dataset: Dataset) -> Federation:
        """Deal a data set to hospitals as the plan says."""
        schema = dataset.schema or find_task(plan.task).schema
        fault = fault_of_classes(plan, schema)
        if fault is not None:
            other = ", or name one of them with data.positive" if schema.image is not None else ""
            raise BadInput(fault, way_out=f"Set model.num_classes: {schema.label_count}{other}")
        data, federated = plan.data, plan.federated
        if dataset.schema is not None and plan.privacy.enabled:
            Bounded.of(schema)  # refuses what has no public range before anything is written
        parts = partition(
            dataset,
            federated.num_clients,
            federated.partition.by,
            federated.partition.alpha,
            plan.seed,
            data.test_fraction,
            data.validation_fraction,
            # Data that everybody can read are divided as they ever were, to be compared with.
            by_coin=plan.privacy.enabled and data.path is not None,
        )
        sites = {
            name: Site(name, schema, rows.train, rows.validation, rows.test)
            for name, rows in parts.items()
        }
        for name in federated.evaluate_only:
            if name not in sites:
                raise BadInput(
                    f"federated.evaluate_only: no hospital is called {name}",
                    way_out=f"There are {', '.join(list(sites)[:8])}",
                )
            sites[name] = sites[name].scoring_only()
        return cls(Study(plan, schema), dataset, sites)

    def with_engines(self, engines: Mapping[str, str] | None) -> Federation:
        """Each hospital with what it trains in; see ``run``."""
        return replace(self, sites=with_engines(self.sites, engines, self.study.plan))

    def nodes(
        self, memory: Memory, folder: Path | None = None, features: Path | None = None
    ) -> dict[str, Node]:
        """A node per hospital. ``folder`` is the run's: a private plan gives each hospital a ledger
        of its own there, a masked one a key. In ``features`` each hospital keeps what its images
        become, from one run to the next."""
        accounts: dict[str, Account] = {}
        if self.study.plan.privacy.enabled:
            if folder is None:
                raise BadInput("a private run needs a folder for its ledgers")
            accounts = {
                name: simulated_account(site, self.study.plan, folder / "ledgers")
                for name, site in self.sites.items()
            }
        plan = self.study.plan
        seals = {}
        if plan.trust != "open":
            keys = simulated_keys(self.sites, folder and folder / "hospitals")
            seals = simulated_seals(keys, plan.seed)
        return {
            name: Node(
                site,
                memory,
                account=accounts.get(name),
                policy=PUBLIC,
                seal=seals.get(name),
                features=features and features / name,
            )
            for name, site in self.sites.items()
        }
