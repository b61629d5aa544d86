#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes gateway/chat/jinja/case_exceptions.h: the code points whose Python upper or title case is longer
than one code point, so that libutf8proc's one-to-one mappings do not cover them.

Usage: jinja_case_table.py > gateway/chat/jinja/case_exceptions.h
"""
import sys
import unicodedata


def literal(text: str) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'


def main() -> None:
    rows = []
    for point in range(0x110000):
        char = chr(point)
        if 0xD800 <= point < 0xE000:
            continue
        upper, title = char.upper(), char.title()
        if len(upper) > 1 or len(title) > 1:
            rows.append(f"    {{0x{point:x}, {literal(upper)}, {literal(title)}}},")
    print(
        f"""// SPDX-License-Identifier: Apache-2.0
// Code points whose upper or title case is more than one code point (UTF-8), sorted. Written by
// tests/reference/jinja_case_table.py with Python {sys.version_info.major}.{sys.version_info.minor}, Unicode {unicodedata.unidata_version}; do not edit.
#pragma once

namespace sluice::gateway::jinja {{

struct CaseException {{
  char32_t point;
  const char* upper;
  const char* title;
}};

// clang-format off
inline constexpr CaseException kCaseExceptions[] = {{
{chr(10).join(rows)}
}};
// clang-format on

}}  // namespace sluice::gateway::jinja"""
    )


if __name__ == "__main__":
    main()
