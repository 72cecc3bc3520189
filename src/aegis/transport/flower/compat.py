"""Every name of Flower's that is not in its public API, in this one place.

Public are ``flwr.app``, ``flwr.serverapp`` and ``flwr.clientapp``; the rest may move with any
release, and ``tests/transport/flower/test_compat.py`` holds the installed one to what is used
here. The package has told Flower to call nobody before this module loads it.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.app.message.message import make_message, remove_content_from_message
from flwr.app.metadata import Metadata
from flwr.cli.build import build_fab_from_files
from flwr.common.constant import SUPERLINK_NODE_ID, TIMESTAMP_HEADER
from flwr.common.serde import (
    fab_to_proto,
    message_from_proto,
    message_to_proto,
    user_config_to_proto,
)
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PullMessagesResponse,
    PushMessagesRequest,
    PushMessagesResponse,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ObjectTree,
    PullObjectRequest,
    PushObjectRequest,
)
from flwr.proto.node_pb2 import Node
from flwr.supercore.constant import (
    FLEET_HTTP_PUBLIC_KEY_HEADER,
    FLEET_HTTP_SIGNATURE_HEADER,
)
from flwr.supercore.control.control_http_client import ControlHttpClient
from flwr.supercore.error import FlowerError
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.interceptors.http.runtime_version import (
    RuntimeVersionHttpInterceptor,
)
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.version import package_version
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

__all__ = [
    "FLEET_HTTP_PUBLIC_KEY_HEADER",
    "FLEET_HTTP_SIGNATURE_HEADER",
    "SUPERLINK_NODE_ID",
    "TIMESTAMP_HEADER",
    "ActivateNodeRequest",
    "ConfigRecord",
    "ConfirmMessageReceivedRequest",
    "ControlHttpClient",
    "DeactivateNodeRequest",
    "Fab",
    "FleetHttpClient",
    "ListNodesRequest",
    "ListRunsRequest",
    "Message",
    "Metadata",
    "Node",
    "ObjectTree",
    "PullMessagesRequest",
    "PullMessagesResponse",
    "PullObjectRequest",
    "PushMessagesRequest",
    "PushMessagesResponse",
    "PushObjectRequest",
    "RecordDict",
    "RegisterNodeRequest",
    "SendNodeHeartbeatRequest",
    "StartRunRequest",
    "StopRunRequest",
    "UnregisterNodeRequest",
    "build_fab_from_files",
    "control_client",
    "fab_to_proto",
    "fleet_client",
    "get_all_nested_objects",
    "get_object_tree",
    "iterate_object_tree",
    "make_message",
    "message_from_proto",
    "message_to_proto",
    "no_object_id_recompute",
    "package_version",
    "public_key_to_bytes",
    "remove_content_from_message",
    "said",
    "user_config_to_proto",
]

NO_NODE = 2004  # the fleet API knows no such key, or thinks that its owner is connected already
KEY_IN_USE = "already in use"


def control_client(address: str, root: bytes) -> ControlHttpClient:
    context = ssl.create_default_context(cadata=root.decode("ascii"))
    return ControlHttpClient(
        f"https://{address}",
        interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr CLI")],
        verify=context,
    )


def fleet_client(
    address: str, context: ssl.SSLContext, key: ec.EllipticCurvePrivateKey
) -> FleetHttpClient:
    """Signs each request with the hospital's key."""
    return FleetHttpClient(
        f"https://{address}",
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name="SuperNode"),
            NodeAuthHttpInterceptor(key, key.public_key()),
        ],
        verify=context,
    )


def said(error: httpx.HTTPStatusError) -> tuple[int, str]:
    """Flower's own code, or the HTTP status, and what it says for people."""
    found = FlowerError.from_json(error.response.text)
    if found is None:
        return error.response.status_code, error.response.text[:200]
    details = f" ({found.public_details})" if found.public_details else ""
    return int(found.code), f"{found.message}{details}"


def leaves(trees: Sequence[ObjectTree]) -> Iterator[str]:
    """The ids of those objects that have no children: where the bytes are."""
    for tree in trees:
        if tree.children:
            yield from leaves(tree.children)
        else:
            yield tree.object_id
