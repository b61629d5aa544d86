// SPDX-License-Identifier: Apache-2.0
// The arithmetic of Hangul syllables (Unicode, chapter 3.12): lead, vowel and optional tail jamo
// make a syllable.
#pragma once

namespace sluice::gateway::hangul {

inline constexpr char32_t kSyllableBase = 0xAC00;
inline constexpr char32_t kLeadBase = 0x1100;
inline constexpr char32_t kVowelBase = 0x1161;
inline constexpr char32_t kTailBase = 0x11A7;  // itself no tail: index 0 means "none"
inline constexpr char32_t kLeads = 19;
inline constexpr char32_t kVowels = 21;
inline constexpr char32_t kTails = 28;
inline constexpr char32_t kSyllables = kLeads * kVowels * kTails;

}  // namespace sluice::gateway::hangul
