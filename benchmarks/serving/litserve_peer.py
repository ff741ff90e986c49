"""LitServe with the model, run by the Python of an environment in which it is installed: `litserve_peer.py FOLDER HOST PORT`.

FOLDER holds `model.joblib`.
"""

import sys
from pathlib import Path

import joblib
import litserve
import numpy as np


class Scored(litserve.LitAPI):
    """The model; `folder` is where it lies."""

    def setup(self, device):  # noqa: ARG002 - LitServe names it
        """Load."""
        self.model = joblib.load(self.folder / "model.joblib")

    def decode_request(self, request):
        """A row."""
        return np.array(request["row"])

    def predict(self, x):
        """The chance of class 1."""
        return self.model.predict_proba(x[None, :])[0, 1]

    def encode_response(self, output):
        """JSON."""
        return {"score": float(output)}


def main(folder: Path, host: str, port: int) -> None:
    api = Scored()
    # its workers are other processes, which get the object and not the class's state
    api.folder = folder
    litserve.LitServer(api, accelerator="cpu").run(host=host, port=port, generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
