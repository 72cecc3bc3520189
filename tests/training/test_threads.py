"""One thread or two, in fresh processes: the bits are the same."""

import os
import subprocess
import sys

import pytest

# Products large enough that the linear-algebra library would share them among its threads.
PROGRAM = """
import hashlib, numpy as np, sys
from aegis.tasks.models import Perceptron
from aegis.training import trainer_for
from aegis.training.trainer import Job, Settings
rng = np.random.default_rng(0)
digest = hashlib.sha256()
for hidden, solver in (((256, 64), "sgd"), ((), "sgd"), ((), "gradient"), ((), "newton")):
    model = Perceptron(60, hidden)
    settings = Settings(solver=solver, batch_size=1024, local_epochs=2)
    for rows in (3000, 1500) if solver == "sgd" else (20000,):
        job = Job("a", 1, 1, model, model.initial(1), rng.standard_normal((rows, 60)),
                  (rng.random(rows) < .5).astype(int), .1, rows, settings)
        trained = trainer_for(model).train(job)
        digest.update(trained.vector.tobytes() + np.float64(trained.loss).tobytes())
assert "torch" not in sys.modules
print(digest.hexdigest())
"""


GUARD = """
import numpy as np
from threadpoolctl import threadpool_info
from aegis.training.threads import one_thread

def now():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

try:
    with one_thread():
        inside = now()
        raise KeyError
except KeyError:
    print(inside, now())
"""


def _run(program: str, threads: int) -> str:
    limits = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(limits, str(threads))}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_one_or_two_threads_and_repetition_give_the_same_bits():
    assert len({_run(PROGRAM, 1), _run(PROGRAM, 2), _run(PROGRAM, 2)}) == 1


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="this machine has one core")
def test_the_number_of_threads_is_one_inside_and_given_back_after_an_error():
    assert _run(GUARD, 2) == "[1] [2]"
