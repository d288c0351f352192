from __future__ import annotations

import subprocess
import sys

import imagecodecs
import numpy as np
import pytest

from medenh.formats import lzw


def streams():
    rng = np.random.default_rng(2)
    yield bytes(rng.integers(0, 256, 200_000, np.uint8))
    yield bytes(200_000)
    yield bytes(rng.integers(0, 3, 200_000, np.uint8))
    yield b"a"
    yield np.arange(60_000, dtype="u2").tobytes()


@pytest.mark.parametrize("data", list(streams()), ids=range(5))
def test_streams_of_an_encoder_are_sound(data):
    assert lzw.is_sound(imagecodecs.lzw_encode(data))


def test_a_code_beyond_the_table_is_not():
    def packed(codes):
        bits = "".join(f"{code:09b}" for code in codes)
        bits += "0" * (-len(bits) % 8)
        return int(bits, 2).to_bytes(len(bits) // 8, "big")

    assert lzw.is_sound(packed([256, 65, 258, 257]))
    assert lzw.is_sound(packed([256, 65, 66, 258, 260, 257]))
    assert not lzw.is_sound(packed([256, 65, 259, 257]))
    assert not lzw.is_sound(packed([256, 300, 257]))
    assert not lzw.is_sound(packed([256] * 9000))
    assert not lzw.is_sound(b"")


def test_what_passes_does_not_crash_the_decoder():
    # in a process of its own: what this guards against ends the process
    code = (
        "import imagecodecs, numpy as np\n"
        "from medenh.formats import lzw\n"
        "rng = np.random.default_rng(3)\n"
        "passed = 0\n"
        "for index in range(3000):\n"
        "    data = rng.integers(0, [3, 256, 40][index % 3], 6000, np.uint8)\n"
        "    stream = bytearray(imagecodecs.lzw_encode(data.tobytes()))\n"
        "    for place in rng.integers(0, len(stream), 1 + index % 3):\n"
        "        stream[place] ^= 1 << int(rng.integers(8))\n"
        "    if lzw.is_sound(bytes(stream)):\n"
        "        passed += 1\n"
        "        try:\n"
        "            imagecodecs.lzw_decode(bytes(stream), out=6000)\n"
        "        except Exception:\n"
        "            pass\n"
        "assert passed > 30\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 0
