"""The SuperLink's control API, which only this machine reaches: keys, and runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import httpx

from aegis.errors import AegisError
from aegis.transport.flower import compat

_Answer = TypeVar("_Answer")


class Control:
    """``root`` is the PEM of the certificate that the SuperLink's own is signed by."""

    def __init__(self, address: str, root: bytes) -> None:
        self._client = compat.control_client(address, root)

    def nodes(self) -> Mapping[bytes, int]:
        """The registered keys (PEM) and the number of each one's node."""
        answer = self._ask(self._client.ListNodes, compat.ListNodesRequest())
        return {
            node.public_key: node.node_id
            for node in answer.nodes_info
            if node.status != "unregistered"
        }

    def register(self, name: str, key: bytes) -> int:
        """The node's number; for a key that is registered already, the one it has."""
        found = self.nodes().get(key)
        if found is not None:
            return found
        request = compat.RegisterNodeRequest(public_key=key, name=name)
        return int(self._ask(self._client.RegisterNode, request).node_id)

    def unregister(self, node: int) -> None:
        self._ask(self._client.UnregisterNode, compat.UnregisterNodeRequest(node_id=node))

    def start(self, fab: compat.Fab, config: Mapping[str, str | int]) -> int:
        """The number of the run."""
        answer = self._ask(
            self._client.StartRun,
            compat.StartRunRequest(
                fab=compat.fab_to_proto(fab),
                override_config=compat.user_config_to_proto(dict(config)),
            ),
        )
        if not answer.HasField("run_id"):
            raise AegisError("the SuperLink started no run", way_out="Its log says why")
        return int(answer.run_id)

    def stop(self, run: int) -> None:
        self._ask(self._client.StopRun, compat.StopRunRequest(run_id=run))

    def ended(self, run: int) -> str:
        """Why a run is over, or nothing while it is not."""
        answer = self._ask(self._client.ListRuns, compat.ListRunsRequest(run_id=run))
        status = answer.run_dict[run].status
        return f"{status.sub_status}: {status.details}" if status.status == "finished" else ""

    def close(self) -> None:
        self._client.close()

    def _ask(self, call: Callable[..., _Answer], request: object) -> _Answer:
        try:
            return call(request)
        except httpx.HTTPStatusError as error:
            code, text = compat.said(error)
            raise AegisError(f"the SuperLink refused ({code}: {text})") from error
        except (httpx.HTTPError, ValueError) as error:
            raise AegisError(f"the SuperLink does not answer ({error})") from error
