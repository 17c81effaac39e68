"""A server with a judge of paper, as a process: it prints its address and serves until stopped.

python fake_server.py FOLDER SECONDS_PER_VERDICT
"""

import contextlib
import sys
from pathlib import Path

from kernelwright.serve.ledger import Ledger
from kernelwright.serve.server import listen, serve, url
from kernelwright.serve.service import Service
from kernelwright.serve.settings import Settings
from kernelwright.testing.judges import FakeJudges


def main():
    folder, delay_s = Path(sys.argv[1]), float(sys.argv[2])
    settings = Settings(host="127.0.0.1", port=0, token=None, grace_s=10.0)
    with Ledger.open(folder) as ledger, contextlib.closing(listen(settings)) as listening:
        service = Service(ledger, FakeJudges(delay_s=delay_s))
        serve(service, settings, listening, lambda: print(url(listening), flush=True))


if __name__ == "__main__":
    main()
