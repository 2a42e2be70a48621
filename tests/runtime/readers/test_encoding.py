"""What a text is written in is found out, told where it is a guess, and can be named."""

import os
import sys
from pathlib import Path

import pytest

from nrem.memory.errors import DocumentError, UsageError
from nrem.runtime.readers.read import read_document

GERMAN = "Der Leuchtturm wurde im Jahre 1874 für die Fischer auf den nördlichen Klippen gebaut. Wärter Müller zündete täglich die Lampe an."
FRENCH = "Le phare fut bâti à l'été 1874 près des rochers. Le gardien, déjà âgé, allumait la lampe où il pouvait; ça brûlait."
POLISH = (
    "Latarnia morska została zbudowana w 1874 roku na północnych skałach. Strażnik zapalał lampę każdego wieczoru, gdyż żeglarze błądzili."
)
RUSSIAN = "Маяк был построен в 1874 году на северных скалах. Смотритель зажигал лампу каждый вечер."
GREEK = "Ο φάρος χτίστηκε το 1874 στα βόρεια βράχια. Ο φύλακας άναβε τη λάμπα κάθε βράδυ."
JAPANESE = "灯台は1874年に北の岩の上に建てられた。番人は毎晩六時に灯をともした。"
CHINESE = "灯塔建于1874年,在北面的岩石上。看守人每天晚上六点点灯。"
KOREAN = "등대는 1874년에 북쪽 바위 위에 세워졌다. 등대지기는 매일 저녁 여섯 시에 불을 켰다."


def read(path: Path, encoding: str = "") -> tuple[str, list[str]]:
    """The text, and what was told."""
    told: list[str] = []
    document = read_document(path, encoding=encoding, tell=told.append)
    return "".join(document.pieces()), told


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("text", ["# Ünï\n\n" + GERMAN, JAPANESE])
def test_unicode_is_known_by_its_mark_and_not_told(tmp_path: Path, encoding: str, text: str) -> None:
    path = tmp_path / "a.md"
    path.write_bytes(text.encode(encoding))
    assert read(path) == (text, [])


@pytest.mark.parametrize(("mark", "encoding"), [(b"\xfe\xff", "utf-16-be"), (b"\0\0\xfe\xff", "utf-32-be")])
def test_the_other_order_of_bytes_is_known_too(tmp_path: Path, mark: bytes, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(mark + GERMAN.encode(encoding))
    assert read(path) == (GERMAN, [])


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN, "latin-1"),
        (FRENCH, "cp1252"),
        ("café au lait", "latin-1"),
        ("“Smart quotes” — here, in plain English text that goes on for a while.", "cp1252"),
        ("© 2020 ACME®", "cp1252"),
        ("Copyright © 1998", "cp1252"),
        ("It’s 5€ at Zoë’s, § 5. ¿Qué?", "cp1252"),
        (POLISH, "cp1250"),
        ("Dzień dobry, panie kołodziej, jak się masz?", "cp1250"),
        ((RUSSIAN + "\n") * 20, "utf-16-le"),
        ((RUSSIAN + "\n") * 20, "utf-16-be"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        (GREEK, "cp1253"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
        (CHINESE, "gbk"),
        (KOREAN, "euc_kr"),
        (GERMAN, "utf-16-le"),
        (GERMAN, "utf-16-be"),
        ("plain ASCII before\n" * 9999 + GERMAN, "latin-1"),
        ((JAPANESE + "\n") * 2000, "shift_jis"),
        (JAPANESE * 2000, "shift_jis"),
    ],
    ids=lambda value: value[:20].strip(),
)
def test_another_encoding_is_guessed_rightly_and_told(tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode(encoding))
    found, told = read(path)
    assert found == text
    assert len(told) == 1
    assert told[0].startswith(f"{path}: not UTF-8, read as ")
    assert told[0].endswith("which is a guess; --encoding NAME names another")


@pytest.mark.parametrize("encoding", ["mac_roman", "cp437", "latin1", "UTF8", "utf-16-le"])
def test_a_named_encoding_decides(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("Käthe".encode(encoding))
    assert read(path, encoding) == ("Käthe", [])


def test_a_named_encoding_that_is_wrong_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"abc\xff")
    for name in ("klingon", "base64", "", "\0")[:2]:
        with pytest.raises(UsageError, match=f"--encoding: got '{name}', expected the name of a text encoding, such as utf-16"):
            read(path, name)
    with pytest.raises(DocumentError, match=r"not ASCII text near byte 3 \(ordinal not in range\(128\)\)"):
        read(path, "ascii")


@pytest.mark.parametrize("content", [bytes(range(1, 256)) * 40, Path(sys.executable).resolve().read_bytes()[:300_000], os.urandom(5000)])
def test_a_binary_file_is_not_guessed_at(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(DocumentError, match="byte"):
        read(path)


def test_a_single_nul_makes_no_chinese(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"hello\0world text")
    with pytest.raises(DocumentError, match="byte 5 is NUL"):
        read(path)


def test_a_guess_is_warned_of_where_nobody_listens(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(FRENCH.encode("cp1252"))
    with pytest.warns(UserWarning, match="nrem: .*a.txt: not UTF-8, read as cp1252, which is a guess"):
        read_document(path)
