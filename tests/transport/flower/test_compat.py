"""The installed Flower still has every private name, and each behaves as this road takes it to."""

import io
import subprocess
import sys
import zipfile

import pytest

pytest.importorskip("flwr")

from cryptography.hazmat.primitives.asymmetric import ec

from aegis.identity.certificates import Authority, pem
from aegis.transport.flower import compat
from aegis.transport.flower.fab import road_app
from aegis.transport.flower.parcels import packed, unpacked


def _message(data: bytes, to: str = ""):
    return compat.make_message(
        metadata=compat.Metadata(7, "", 3, compat.SUPERLINK_NODE_ID, to, "", 1.0, 9.0, "query"),
        content=packed(data),
    )


def test_this_version_is_one_that_was_tried() -> None:
    major, minor, *_ = compat.package_version.split(".")
    assert (major, minor) in {("1", "41"), ("1", "42")}


def test_every_name_is_there() -> None:
    for name in compat.__all__:
        assert getattr(compat, name) is not None, name


def test_flower_was_told_to_call_nobody() -> None:
    code = "import aegis.transport.flower.compat, flwr.supercore.telemetry as telemetry;"
    code += "print(telemetry.FLWR_TELEMETRY_ENABLED)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert found.stdout.strip() == b"0"


def test_the_bytes_of_a_message_are_in_its_leaves() -> None:
    message = _message(bytes(range(256)) * 20_000)
    objects = {
        name: each.deflate() for name, each in compat.get_all_nested_objects(message).items()
    }
    tree = compat.get_object_tree(message)
    assert tree.object_id == message.object_id
    found = [compat.ConfigRecord.inflate(objects[name]) for name in compat.leaves([tree])]
    assert unpacked(found) == bytes(range(256)) * 20_000
    assert {each.object_id for each in compat.iterate_object_tree(tree)} == set(objects)


def test_a_message_crosses_protobuf_without_its_content() -> None:
    message = _message(b"x", to="asked")
    proto = compat.message_to_proto(compat.remove_content_from_message(message))
    back = compat.message_from_proto(type(proto).FromString(proto.SerializeToString()))
    assert back.metadata.reply_to_message_id == "asked"
    assert back.metadata.run_id == 7
    assert not back.content.config_records


def test_setting_a_message_id_shows_in_what_is_sent() -> None:
    message = _message(b"x")
    with compat.no_object_id_recompute():
        message.metadata.__dict__["_message_id"] = message.object_id
        assert compat.message_to_proto(message).metadata.message_id == message.object_id


def test_the_app_names_its_two_components_and_nothing_else() -> None:
    with zipfile.ZipFile(io.BytesIO(road_app())) as fab:
        names = {name for name in fab.namelist() if name.endswith(".py")}
        assert names == {"aegis_road.py", "aegis_road_hospital.py"}
    assert road_app() == road_app()


def test_both_clients_take_our_own_tls(tmp_path) -> None:
    from aegis.identity.tls import client_context

    root = tmp_path / "root.pem"
    root.write_bytes(pem(Authority.create("x").root.certificate))
    key = ec.generate_private_key(ec.SECP256R1())
    with compat.fleet_client("localhost:1", client_context(root), key) as fleet:
        for call in (
            "ActivateNode", "SendNodeHeartbeat", "PullMessages", "PushMessages",
            "PullObject", "PushObject", "ConfirmMessageReceived",
        ):  # fmt: skip
            assert callable(getattr(fleet, call))
    with compat.control_client("localhost:1", root.read_bytes()) as control:
        for call in ("ListNodes", "RegisterNode", "UnregisterNode", "StartRun", "StopRun"):
            assert callable(getattr(control, call))


def test_what_flower_refuses_is_read_with_its_code() -> None:
    import httpx

    request = httpx.Request("POST", "https://x")
    body = {"code": compat.NO_NODE, "detail": "no such key"}
    error = httpx.HTTPStatusError(
        "", request=request, response=httpx.Response(401, json=body, request=request)
    )
    assert compat.said(error) == (compat.NO_NODE, "no such key")
