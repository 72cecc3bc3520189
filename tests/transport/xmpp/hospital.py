"""A hospital's end in a process of its own: answers each parcel with its digest, size and label.

python -m tests.transport.xmpp.hospital DETAILS ROOT STATUS
"""

import hashlib
import json
import logging
import sys
import time
from pathlib import Path

from aegis.transport.carrier import Trust
from aegis.transport.xmpp import line


def main():
    details, root, status = (Path(argument) for argument in sys.argv[1:])
    logging.basicConfig(filename=f"{status}.log", level=logging.INFO)
    road = json.loads(details.read_text())
    own = line(road, road["name"], Trust(root))
    while True:
        parcel = own.receive(0.2)
        if parcel is not None:
            command = parcel.data[:6]
            if command == b"sleep ":
                time.sleep(2)
            answer = hashlib.sha256(parcel.data).hexdigest().encode()
            own.reply(parcel, parcel.data if command == b"mirror" else answer)
        status.write_text(f"{own.standing}\n{own.status}")


if __name__ == "__main__":
    main()
