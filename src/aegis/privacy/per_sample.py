"""Clipped sums of single records' gradients for any network of PyTorch. The only module that
imports Opacus.

Opacus keeps each record's gradient beside the sum (Yousefpour et al. 2021). Here these are measured
over all layers, shortened to the clip, and added up in 64 bits, so that rounding stays within the
room that clipping leaves for it; nothing of a batch is normalised, and a record whose gradient is
not finite counts as absent. Batches are taken a few records at a time: of a network of 11 million
parameters ten records' gradients fill half a gigabyte.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import MissingExtra
from aegis.privacy.dpsgd import clip_factors, refuse_unprivate_layers

MOST_BYTES = 1 << 29
MOST_RECORDS = 256


class PerSample:
    """``module`` with every record's gradient of its own. ``forward`` maps (rows, module) to
    outputs. Raises ``MissingExtra`` without Opacus, ``BadInput`` for a layer that mixes records.
    """

    def __init__(self, module: Any, forward: Callable[[Any, Any], Any]) -> None:
        refuse_unprivate_layers(module.named_modules())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                from opacus.grad_sample import GradSampleModule
        except ImportError as error:
            raise MissingExtra("DP-SGD for networks of convolutions", "torch") from error
        self._wrapped = GradSampleModule(module, loss_reduction="sum")
        self._forward = forward

    def close(self) -> None:
        """Leaves the module as it was."""
        self._wrapped.remove_hooks()
        for parameter in self._wrapped.parameters():
            parameter.grad = None
            if hasattr(parameter, "grad_sample"):
                del parameter.grad_sample

    def clipped_sum(
        self, rows: Any, lost: Callable[[Any, slice], Any], clip: float, parameters: Sequence[Any]
    ) -> NDArray[np.float64]:
        """The sum of the records' clipped gradients, in clips: 1 is the most that one moves it.

        ``rows`` (n, inputs) is a tensor; ``lost`` gives the summed loss of some outputs, those of
        the records in the slice. The result is as long as ``parameters`` together, in their order.
        """
        import torch

        sizes = [parameter.numel() for parameter in parameters]
        total = torch.zeros(sum(sizes), dtype=torch.float64)
        at_once = max(1, min(MOST_RECORDS, MOST_BYTES // (4 * max(1, sum(sizes)))))
        for at in range(0, len(rows), at_once):
            here = slice(at, min(at + at_once, len(rows)))
            with warnings.catch_warnings():  # hooks say that images need no gradient of their own
                warnings.simplefilter("ignore", UserWarning)
                lost(self._forward(rows[here], self._wrapped), here).backward()
            made = [p.grad_sample.flatten(1) for p in parameters]
            each = [torch.linalg.vector_norm(part, dim=1).double() for part in made]
            norms = torch.linalg.vector_norm(torch.stack(each), dim=0)
            bad = ~torch.isfinite(norms)
            factors = clip_factors(torch.where(bad, 0.0, norms), clip) / clip
            first = 0
            for part, size in zip(made, sizes, strict=True):
                exact = part.double()
                if bad.any():
                    exact[bad] = 0
                total[first : first + size] += factors @ exact
                first += size
            self._wrapped.zero_grad(set_to_none=True)
        found: NDArray[np.float64] = total.numpy()
        return found
