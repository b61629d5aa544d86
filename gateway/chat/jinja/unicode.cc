// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/jinja/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>

#include "gateway/chat/jinja/byte_scan.h"
#include "gateway/chat/jinja/case_exceptions.h"

namespace sluice::gateway::jinja {
namespace {

struct PointRange {
  char32_t first;
  char32_t last;
};

// Numeric_Type=Digit beyond category Nd.
constexpr PointRange kOtherDigits[] = {
    {0xb2, 0xb3},       {0xb9, 0xb9},       {0x1369, 0x1371},   {0x19da, 0x19da},
    {0x2070, 0x2070},   {0x2074, 0x2079},   {0x2080, 0x2089},   {0x2460, 0x2468},
    {0x2474, 0x247c},   {0x2488, 0x2490},   {0x24ea, 0x24ea},   {0x24f5, 0x24fd},
    {0x24ff, 0x24ff},   {0x2776, 0x277e},   {0x2780, 0x2788},   {0x278a, 0x2792},
    {0x10a40, 0x10a43}, {0x10e60, 0x10e68}, {0x11052, 0x1105a}, {0x1f100, 0x1f10a}};
// Other_Uppercase and Other_Lowercase: upper or lower without being Lu or Ll.
constexpr PointRange kOtherUpper[] = {
    {0x2160, 0x216f}, {0x24b6, 0x24cf}, {0x1f130, 0x1f149}, {0x1f150, 0x1f169}, {0x1f170, 0x1f189}};
constexpr PointRange kOtherLower[] = {
    {0xaa, 0xaa},       {0xba, 0xba},       {0x2b0, 0x2b8},     {0x2c0, 0x2c1},    {0x2e0, 0x2e4},
    {0x345, 0x345},     {0x37a, 0x37a},     {0x1d2c, 0x1d6a},   {0x1d78, 0x1d78},  {0x1d9b, 0x1dbf},
    {0x2071, 0x2071},   {0x207f, 0x207f},   {0x2090, 0x209c},   {0x2170, 0x217f},  {0x24d0, 0x24e9},
    {0x2c7c, 0x2c7d},   {0xa69c, 0xa69d},   {0xa770, 0xa770},   {0xa7f8, 0xa7f9},  {0xab5c, 0xab5f},
    {0x10780, 0x10780}, {0x10783, 0x10785}, {0x10787, 0x107b0}, {0x107b2, 0x107ba}};
// Case_Ignorable punctuation (Word_Break MidLetter, MidNumLet, Single_Quote).
constexpr PointRange kCaseIgnorable[] = {
    {0x27, 0x27},     {0x2e, 0x2e},     {0x3a, 0x3a},     {0xb7, 0xb7},
    {0x387, 0x387},   {0x55f, 0x55f},   {0x5f4, 0x5f4},   {0x2018, 0x2019},
    {0x2024, 0x2024}, {0x2027, 0x2027}, {0xfe13, 0xfe13}, {0xfe52, 0xfe52},
    {0xfe55, 0xfe55}, {0xff07, 0xff07}, {0xff0e, 0xff0e}, {0xff1a, 0xff1a}};

template <size_t N>
bool InRanges(const PointRange (&ranges)[N], char32_t point) {
  const PointRange* end = ranges + N;
  const PointRange* it = std::lower_bound(
      ranges, end, point, [](const PointRange& range, char32_t p) { return range.last < p; });
  return it != end && it->first <= point;
}

utf8proc_category_t Category(char32_t point) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(point));
}

bool IsCaseIgnorable(char32_t point) {
  switch (Category(point)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return InRanges(kCaseIgnorable, point);
  }
}

const CaseException* FindException(char32_t point) {
  const CaseException* end = std::end(kCaseExceptions);
  const CaseException* it =
      std::lower_bound(std::begin(kCaseExceptions), end, point,
                       [](const CaseException& row, char32_t p) { return row.point < p; });
  return it != end && it->point == point ? it : nullptr;
}

// A capital sigma is final after a cased letter and not before one; case-ignorable marks do not
// count.
bool IsFinalSigma(std::string_view text, size_t pos) {
  size_t before = pos;
  bool cased_before = false;
  while (before > 0) {
    const CodePoint point = DecodeBefore(text, before);
    before -= point.length;
    if (IsCaseIgnorable(point.value)) continue;
    cased_before = IsCased(point.value);
    break;
  }
  if (!cased_before) return false;
  size_t after = pos + 2;
  while (after < text.size()) {
    const CodePoint point = DecodeAt(text, after);
    after += point.length;
    if (IsCaseIgnorable(point.value)) continue;
    return !IsCased(point.value);
  }
  return true;
}

}  // namespace

CodePoint DecodeAt(std::string_view text, size_t pos) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[pos + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xe0) return {static_cast<char32_t>((lead & 0x1f) << 6 | (byte(1) & 0x3f)), 2};
  if (lead < 0xf0) {
    return {static_cast<char32_t>((lead & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f)),
            3};
  }
  return {static_cast<char32_t>((lead & 0x07) << 18 | (byte(1) & 0x3f) << 12 |
                                (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f)),
          4};
}

CodePoint DecodeBefore(std::string_view text, size_t end) {
  size_t pos = end - 1;
  while (pos > 0 && (static_cast<unsigned char>(text[pos]) & 0xc0) == 0x80) --pos;
  return DecodeAt(text, pos);
}

void AppendUtf8(char32_t point, std::string* out) {
  if (point < 0x80) {
    out->push_back(static_cast<char>(point));
  } else if (point < 0x800) {
    out->push_back(static_cast<char>(0xc0 | point >> 6));
    out->push_back(static_cast<char>(0x80 | (point & 0x3f)));
  } else if (point < 0x10000) {
    out->push_back(static_cast<char>(0xe0 | point >> 12));
    out->push_back(static_cast<char>(0x80 | (point >> 6 & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (point & 0x3f)));
  } else {
    out->push_back(static_cast<char>(0xf0 | point >> 18));
    out->push_back(static_cast<char>(0x80 | (point >> 12 & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (point >> 6 & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (point & 0x3f)));
  }
}

size_t FindInvalidUtf8(std::string_view text) {
  size_t pos = 0;
  while (pos < text.size()) {
    pos = SkipAscii(text, pos);
    if (pos == text.size()) break;
    const auto lead = static_cast<unsigned char>(text[pos]);
    const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || pos + length > text.size()) return pos;
    for (size_t i = 1; i < length; ++i) {
      if ((static_cast<unsigned char>(text[pos + i]) & 0xc0) != 0x80) return pos;
    }
    const char32_t point = DecodeAt(text, pos).value;
    const bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
    if (overlong || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return pos;
    pos += length;
  }
  return std::string_view::npos;
}

size_t CountCodePoints(std::string_view text) { return text.size() - CountContinuationBytes(text); }

size_t ByteOffset(std::string_view text, size_t index) {
  size_t pos = 0;
  while (index > 0 && pos < text.size()) {
    pos += DecodeAt(text, pos).length;
    --index;
  }
  return pos;
}

bool IsSpace(char32_t point) {
  if (point < 0x80) return (point >= 0x09 && point <= 0x0d) || (point >= 0x1c && point <= 0x20);
  return point == 0x85 || point == 0xa0 || point == 0x1680 ||
         (point >= 0x2000 && point <= 0x200a) || point == 0x2028 || point == 0x2029 ||
         point == 0x202f || point == 0x205f || point == 0x3000;
}

bool IsLineBreak(char32_t point) {
  return (point >= 0x0a && point <= 0x0d) || (point >= 0x1c && point <= 0x1e) || point == 0x85 ||
         point == 0x2028 || point == 0x2029;
}

bool IsAlpha(char32_t point) {
  const utf8proc_category_t category = Category(point);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool IsDecimal(char32_t point) { return Category(point) == UTF8PROC_CATEGORY_ND; }

bool IsDigit(char32_t point) { return IsDecimal(point) || InRanges(kOtherDigits, point); }

bool IsNumericCategory(char32_t point) {
  const utf8proc_category_t category = Category(point);
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
         category == UTF8PROC_CATEGORY_NO;
}

bool IsUpper(char32_t point) {
  return Category(point) == UTF8PROC_CATEGORY_LU || InRanges(kOtherUpper, point);
}

bool IsLower(char32_t point) {
  return Category(point) == UTF8PROC_CATEGORY_LL || InRanges(kOtherLower, point);
}

bool IsTitle(char32_t point) { return Category(point) == UTF8PROC_CATEGORY_LT; }

bool IsCased(char32_t point) { return IsUpper(point) || IsLower(point) || IsTitle(point); }

bool IsPrintable(char32_t point) {
  if (point < 0x7f) return point >= 0x20;
  switch (Category(point)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

int DecimalValue(char32_t point) {
  if (point < 0x80) return point >= '0' && point <= '9' ? static_cast<int>(point - '0') : -1;
  if (!IsDecimal(point)) return -1;
  // Unicode keeps the ten digits of a script together and in order, so counting back to the start
  // of the run gives the value; runs that touch (mathematical digits) are aligned from their first
  // code point.
  char32_t first = point;
  while (IsDecimal(first - 1)) --first;
  return static_cast<int>((point - first) % 10);
}

void AppendUpper(char32_t point, std::string* out) {
  if (point < 0x80) {
    out->push_back(static_cast<char>(point >= 'a' && point <= 'z' ? point - 32 : point));
  } else if (const CaseException* row = FindException(point)) {
    out->append(row->upper);
  } else {
    AppendUtf8(static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(point))), out);
  }
}

void AppendTitle(char32_t point, std::string* out) {
  if (const CaseException* row = FindException(point)) {
    out->append(row->title);
  } else {
    AppendUtf8(static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(point))), out);
  }
}

void AppendLower(std::string_view text, size_t pos, std::string* out) {
  const char32_t point = DecodeAt(text, pos).value;
  if (point < 0x80) {
    out->push_back(static_cast<char>(point >= 'A' && point <= 'Z' ? point + 32 : point));
  } else if (point == 0x130) {
    out->append("i\xcc\x87");
  } else if (point == 0x3a3) {
    AppendUtf8(IsFinalSigma(text, pos) ? 0x3c2 : 0x3c3, out);
  } else {
    AppendUtf8(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(point))), out);
  }
}

}  // namespace sluice::gateway::jinja
