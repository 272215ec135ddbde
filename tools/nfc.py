#!/usr/bin/env python3
"""Writes src/Model/Tokenizers/nfc.txt, the data of Unicode's normalization form C, from Python's unicodedata.     tools/nfc.py > FILE

A line a decomposition, in hexadecimal: "00C0 0041 0300", with "!" before it where nothing is composed to that character. Then a line a run
of characters with one combining class that is not 0: "0300-0314 230". Hangul follows by arithmetic and is left out. What Unicode has once
said of a character's normalization it never changes, so a newer version only adds lines.
"""
import sys
import unicodedata

HANGUL = range(0xAC00, 0xAC00 + 11172)

print(f"# Unicode {unicodedata.unidata_version}, written by tools/nfc.py")
for code in range(sys.maxunicode + 1):
    mapping = unicodedata.decomposition(chr(code))
    if mapping and not mapping.startswith("<") and code not in HANGUL:
        excluded = unicodedata.normalize("NFC", chr(code)) != chr(code)
        print(f"{'!' if excluded else ''}{code:04X} {mapping}")
start, run = 0, 0
for code in range(sys.maxunicode + 2):
    combining = unicodedata.combining(chr(code)) if code <= sys.maxunicode else 0
    if combining != run:
        if run:
            print(f"{start:04X}-{code - 1:04X} {run}")
        start, run = code, combining
