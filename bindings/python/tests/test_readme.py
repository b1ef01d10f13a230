"""The README's examples run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Server

README = Path(__file__).parents[1] / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example(example: str, server: Server) -> None:
    assert "127.0.0.1:2379" in example
    code = example.replace("127.0.0.1:2379", server.address)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert ran.returncode == 0, ran.stderr
    # An application is only served elsewhere.
    assert ran.stdout or "app = " in example
    assert not ran.stderr
