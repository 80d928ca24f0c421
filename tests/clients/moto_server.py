"""moto's server, which plays services of AWS's, for as long as a script needs it."""
import contextlib
import os
import subprocess
import sys
import time
import urllib.request


@contextlib.contextmanager
def moto(folder, port, account, region):
    """Starts the moto that is installed in the folder, and ends it."""
    environment = dict(os.environ, PYTHONPATH=folder, MOTO_ACCOUNT_ID=account)
    environment.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION=region)
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port],
                              env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):  # a minute, on a machine that does something else besides
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/data.json", timeout=5).read()
                break
            except OSError:
                assert server.poll() is None, "moto has ended"
                time.sleep(0.1)
        yield
    finally:
        server.terminate()
        server.wait()
