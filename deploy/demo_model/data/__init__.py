# SPDX-License-Identifier: Apache-2.0
"""The synthetic conversations that sluice-demo is trained and judged on. Everything is drawn from a seed."""
