"""Flower's secure aggregation, by its own functions: its client's four stages and its unmasking.

``secaggplus_mod`` holds the client's stages as functions of a state and a configuration; they are
private, and the one place that calls them is here. The server's part stands inside a workflow that
needs a running grid, so its arithmetic is done again with the same functions. Every hospital is
everybody's neighbour, as in Flower's ``SecAggWorkflow``, with our threshold.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from flwr.common import bytes_to_ndarray, ndarray_to_bytes, ndarrays_to_parameters
from flwr.common.secure_aggregation.crypto.shamir import combine_shares, create_shares
from flwr.common.secure_aggregation.crypto.symmetric_encryption import encrypt, generate_shared_key
from flwr.common.secure_aggregation.ndarrays_arithmetic import (
    factor_extract,
    get_parameters_shape,
    parameters_addition,
    parameters_mod,
    parameters_subtraction,
)
from flwr.common.secure_aggregation.quantization import dequantize
from flwr.common.secure_aggregation.secaggplus_constants import Key
from flwr.common.secure_aggregation.secaggplus_utils import (
    pseudo_rand_gen,
    share_keys_plaintext_concat,
)
from flwr.supercore.primitives.asymmetric import bytes_to_private_key, bytes_to_public_key
from numpy.typing import NDArray

from aegis.secagg import threshold

# The package hides this module behind a function of the same name.
stages: Any = import_module("flwr.client.mod.secure_aggregation.secaggplus_mod")

CLIP, TARGET, MODULUS, MOST_WEIGHT = 8.0, 1 << 22, 1 << 32, 1000.0
WEIGHT = 1000  # examples of each: its update counts in full
MASKED, SHARES = Key.MASKED_PARAMETERS, Key.SHARE_LIST


class Theirs:
    """One client's work and the server's, with messages of the others that are made once.

    What the others send has its true size and kind. Vectors of the others are random, as masked
    ones are; so are the shares that nobody puts together.
    """

    def __init__(self, hospitals: int, numbers: int, lost: int) -> None:
        self.update = np.random.default_rng(0).normal(size=numbers).astype(np.float32)
        self.clients = [_client(number, hospitals) for number in range(hospitals)]
        self.keys = {one.nid: (one.pk1, one.pk2) for one in self.clients}
        self.active = [one.nid for one in self.clients[: hospitals - lost]]
        self.dead = [one.nid for one in self.clients[hospitals - lost :]]
        least = threshold(hospitals)
        self.shares = {
            one.nid: create_shares(
                one.sk1 if one.nid in self.dead else os.urandom(32), least, hospitals
            )[: len(self.active)]
            for one in self.clients
        }
        me, others = self.clients[0], self.clients[1:]
        sizes = len(create_shares(bytes(32), 2, 2)[0]), len(create_shares(me.sk1, 2, 2)[0])
        self.parcels: dict[str, Any] = {
            Key.SOURCE_LIST: [one.nid for one in others],
            Key.CIPHERTEXT_LIST: [
                encrypt(
                    _shared(one.sk2, me.pk2),
                    share_keys_plaintext_concat(
                        one.nid, me.nid, os.urandom(sizes[0]), os.urandom(sizes[1])
                    ),
                )
                for one in others
            ],
        }
        rng = np.random.default_rng(1)
        self.masked = [
            [
                ndarray_to_bytes(np.array([TARGET])),
                ndarray_to_bytes(rng.integers(0, MODULUS, numbers)),
            ]
            for _ in self.active
        ]

    def client(self) -> None:
        me = self.clients[0]
        _client(0, len(self.clients))
        stages._share_keys(me, self.keys)
        parameters = ndarrays_to_parameters([self.update])
        stages._collect_masked_vectors(me, self.parcels, WEIGHT, parameters)
        lists = {Key.ACTIVE_NODE_ID_LIST: self.active, Key.DEAD_NODE_ID_LIST: self.dead}
        stages._unmask(me, lists)

    def server(self) -> NDArray[np.float64]:
        return unmasked(self.masked, self.shares, self.active, self.keys)


def mean(updates: Sequence[NDArray[np.float32]], kept: int) -> NDArray[np.float64]:
    """A whole round, every client by Flower's functions; the last ones are lost after sharing."""
    clients = [_client(number, len(updates)) for number in range(len(updates))]
    keys = {one.nid: (one.pk1, one.pk2) for one in clients}
    sent = {one.nid: stages._share_keys(one, keys) for one in clients}
    masked: list[list[bytes]] = []
    shares: dict[int, list[bytes]] = {one.nid: [] for one in clients}
    for one, update in zip(clients[:kept], updates[:kept], strict=True):
        parcels: dict[str, Any] = {Key.SOURCE_LIST: [], Key.CIPHERTEXT_LIST: []}
        for source, message in sent.items():
            to: Any = message[Key.DESTINATION_LIST]
            text: Any = message[Key.CIPHERTEXT_LIST]
            if one.nid in to:
                parcels[Key.SOURCE_LIST].append(source)
                parcels[Key.CIPHERTEXT_LIST].append(text[to.index(one.nid)])
        parameters = ndarrays_to_parameters([update])
        reply: Any = stages._collect_masked_vectors(one, parcels, WEIGHT, parameters)
        masked.append(reply[MASKED])
    active = [one.nid for one in clients[:kept]]
    lists = {
        Key.ACTIVE_NODE_ID_LIST: active,
        Key.DEAD_NODE_ID_LIST: sorted(set(keys) - set(active)),
    }
    for one in clients[:kept]:
        given: Any = stages._unmask(one, lists)
        for owner, share in zip(given[Key.NODE_ID_LIST], given[SHARES], strict=True):
            shares[owner].append(share)
    return unmasked(masked, shares, active, keys)


def unmasked(
    masked: Sequence[Sequence[bytes]],
    shares: dict[int, list[bytes]],
    active: Sequence[int],
    keys: dict[int, tuple[bytes, bytes]],
) -> NDArray[np.float64]:
    """The mean, as Flower's server opens it."""
    total = [bytes_to_ndarray(one) for one in masked[0]]
    for vector in masked[1:]:
        total = parameters_addition(total, [bytes_to_ndarray(one) for one in vector])
    total = parameters_mod(total, MODULUS)
    forms = get_parameters_shape(total)
    for owner, held in shares.items():
        secret = combine_shares(held)
        if owner in active:
            total = parameters_subtraction(total, pseudo_rand_gen(secret, MODULUS, forms))
            continue
        for other in active:
            mask = pseudo_rand_gen(_shared(secret, keys[other][0]), MODULUS, forms)
            change = parameters_addition if owner > other else parameters_subtraction
            total = change(total, mask)
    weight, rest = factor_extract(parameters_mod(total, MODULUS))
    opened: NDArray[np.float64] = dequantize(rest, CLIP, TARGET)[0]
    opened -= (len(active) - 1) * CLIP
    opened *= TARGET / weight
    return opened


def _client(number: int, hospitals: int) -> Any:
    state = stages.SecAggPlusState(nid=number)
    settings = {
        Key.SAMPLE_NUMBER: hospitals,
        Key.SHARE_NUMBER: hospitals,
        Key.THRESHOLD: threshold(hospitals),
        Key.CLIPPING_RANGE: CLIP,
        Key.TARGET_RANGE: TARGET,
        Key.MOD_RANGE: MODULUS,
        Key.MAX_WEIGHT: MOST_WEIGHT,
    }
    stages._setup(state, settings)
    return state


def _shared(private: bytes, public: bytes) -> bytes:
    return generate_shared_key(bytes_to_private_key(private), bytes_to_public_key(public))
