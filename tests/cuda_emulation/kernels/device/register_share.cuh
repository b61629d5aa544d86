// SPDX-License-Identifier: Apache-2.0
// The emulator's twin of kernels/device/register_share.cuh: its threads have no registers to share.
#pragma once

namespace sluice::kernels::device {

template <int kCount>
void GiveRegisters() {
  static_assert(kCount % 8 == 0 && kCount >= 24 && kCount <= 256);
}

template <int kCount>
void TakeRegisters() {
  static_assert(kCount % 8 == 0 && kCount >= 24 && kCount <= 256);
}

}  // namespace sluice::kernels::device
