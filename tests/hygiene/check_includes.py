# SPDX-License-Identifier: Apache-2.0
"""Fails on any include that the list of allowed edges below does not name (docs/style.md explains the list)."""

import re
import sys

from source_tree import ROOT, files, report

# Folder -> folders it may include besides itself. A folder that is not listed may include nothing of ours.
EDGES = {
    "proto/wire": [],
    # kernels/cpu: the operations dispatch to one table of functions per instruction set.
    "kernels/cpu": ["kernels/cpu/simd"],
    "kernels/cpu/sampling": ["kernels/cpu", "kernels/cpu/simd", "kernels/host"],
    "kernels/cpu/simd": ["kernels/cpu"],
    "kernels/cpu/reference": ["kernels/cpu", "kernels/host"],
    # kernels/host: arithmetic that CPU and GPU share, and how launches end.
    # The GPU's operations. What a linear leaves to its reader is AWQ's; the rest know the pages.
    "kernels/host": [],
    "kernels/device": [],
    "kernels/awq": ["kernels/host", "kernels/device"],
    "kernels/dense": ["kernels/host", "kernels/device"],
    "kernels/attention": ["kernels/host", "kernels/device"],
    "kernels/collective": ["kernels/awq", "kernels/norm", "kernels/host", "kernels/device"],
    "kernels/norm": ["kernels/awq", "kernels/host", "kernels/device"],
    "kernels/mlp": ["kernels/awq", "kernels/host", "kernels/device"],
    "kernels/embedding": ["kernels/host", "kernels/device"],
    "kernels/sampling": ["kernels/host", "kernels/device"],
    "kernels/rope": ["kernels/attention", "kernels/awq", "kernels/host", "kernels/device"],
    # worker: downward only. main -> service -> engine -> {scheduler, executor}; scheduler -> cache -> base;
    # executor -> model -> {weights, parallel, kernels} -> device -> base.
    "worker/base": ["proto/wire"],
    "worker/vocabulary": ["worker/base", "proto/wire"],
    "worker/device": ["kernels/host", "proto/wire"],
    # ranks' sums are kernels of ours where GPUs reach each other's memory.
    "worker/parallel": ["worker/base", "worker/device", "kernels/awq", "kernels/collective", "kernels/norm",
                        "proto/wire"],
    "worker/weights": ["worker/base", "worker/parallel", "kernels/cpu", "proto/wire"],
    "worker/model": ["worker/weights", "worker/parallel", "worker/base", "kernels/cpu", "proto/wire"],
    "worker/executor": ["worker/base", "proto/wire"],
    "worker/executor/cpu": ["worker/executor", "worker/model", "worker/weights", "worker/parallel",
                            "worker/vocabulary", "worker/base", "kernels/cpu", "kernels/cpu/sampling",
                            "proto/wire"],
    "worker/executor/cuda": ["worker/executor", "worker/model", "worker/weights", "worker/parallel", "worker/device",
                             "worker/base", "kernels/attention", "kernels/awq", "kernels/cpu", "kernels/dense", "kernels/embedding",
                             "kernels/host", "kernels/mlp", "kernels/norm", "kernels/rope", "kernels/sampling",
                             "proto/wire"],
    "worker/cache": ["worker/base", "proto/wire"],
    "worker/scheduler": ["worker/cache", "worker/base", "proto/wire"],
    "worker/engine": ["worker/scheduler", "worker/cache", "worker/executor", "worker/base", "proto/wire"],
    "worker/service": ["worker/engine", "worker/scheduler", "worker/cache", "worker/executor",
                       "worker/executor/cpu", "worker/executor/cuda", "worker/weights", "worker/model",
                       "worker/parallel", "worker/vocabulary", "worker/base", "proto/wire"],
    "worker": ["worker/service", "worker/engine", "worker/scheduler", "worker/cache", "worker/executor",
               "worker/executor/cpu", "worker/weights", "worker/model", "worker/parallel",
               "worker/vocabulary", "worker/base", "proto/wire"],
    # gateway: main -> server -> session -> {openai, chat, tokenizer, backend}, and those four do not know each
    # other.
    "gateway/tokenizer": ["proto/wire"],
    "gateway/chat": ["gateway/chat/jinja", "proto/wire"],
    "gateway/chat/jinja": ["proto/wire"],
    "gateway/openai": ["proto/wire"],
    "gateway/backend": ["proto/wire"],
    "gateway/session": ["gateway/openai", "gateway/chat", "gateway/tokenizer", "gateway/backend", "proto/wire"],
    "gateway/server": ["gateway/session", "gateway/openai", "gateway/chat", "gateway/tokenizer",
                       "gateway/backend", "proto/wire"],
    "gateway": ["gateway/server", "gateway/session", "gateway/openai", "gateway/chat", "gateway/tokenizer",
                "gateway/backend", "proto/wire"],
    # The load generator is a folder of its own; only the command's main knows it.
    "gateway/cli": ["gateway/cli/bench", "proto/wire"],
    "gateway/cli/bench": ["gateway/cli", "proto/wire"],
}

# External headers that only some folders (or files) may include.
CONFINED = {
    "gRPC and protobuf": (
        re.compile(r"^(grpc|grpcpp|google/protobuf|sluice/)"),
        ["worker/service", "gateway/server", "gateway/backend", "gateway/cli", "proto/wire"],
        ["worker/main.cc", "gateway/main.cc"],
    ),
    "Prometheus": (re.compile(r"^prometheus/"), [], ["worker/metrics.cc", "gateway/metrics.cc"]),
    "NCCL": (re.compile(r"^nccl"), ["worker/parallel"], []),
    "Boost": (re.compile(r"^boost/"), ["gateway/server", "gateway/cli"], []),
    "Abseil": (re.compile(r"^absl/"), ["proto", "gateway", "worker"], []),
    "flags": (re.compile(r"^absl/flags/"), ["gateway/cli"],
              ["worker/main.cc", "worker/config.cc", "gateway/main.cc", "gateway/config.cc"]),
}
ENVIRONMENT = re.compile(r"\b(getenv|secure_getenv|setenv|putenv|unsetenv)\s*\(|\bABSL_FLAG\s*\(")
ENVIRONMENT_FILES = ["worker/main.cc", "worker/config.cc", "gateway/main.cc", "gateway/config.cc"]

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^">]+)[">]', re.MULTILINE)
OURS = re.compile(r"^(proto|gateway|worker|kernels|tests)/")


def within(folder, parents):
    return any(folder == parent or folder.startswith(parent + "/") for parent in parents)


def check(path, text):
    folder = path.parent.as_posix()
    allowed = EDGES.get(folder)
    if allowed is None:  # a subfolder inherits from the nearest folder that is listed
        for parent in path.parent.parents:
            if parent.as_posix() in EDGES:
                allowed = EDGES[parent.as_posix()] + [parent.as_posix()]
                break
    for include in INCLUDE.findall(text):
        if OURS.match(include):
            target = include.rsplit("/", 1)[0]
            if not (ROOT / include).is_file():
                yield f"{path} includes {include}, which does not exist"
            elif target != folder and target not in (allowed or []):
                yield f"{path} includes {include}: the edge {folder} -> {target} is not allowed"
        elif "/" not in include and (path.parent / include).exists() and include.endswith((".h", ".cuh")):
            yield f"{path} includes {include} without its folder"
        for name, (pattern, folders, single_files) in CONFINED.items():
            if pattern.match(include) and not within(folder, folders) and path.as_posix() not in single_files:
                yield f"{path} includes {include}: {name} headers are confined to {', '.join(folders + single_files)}"
    if ENVIRONMENT.search(text) and path.as_posix() not in ENVIRONMENT_FILES and not within(folder, ["gateway/cli"]):
        yield f"{path} reads or changes the environment or declares a flag: only the mains and their config may"


def main():
    problems = []
    for path in files({".h", ".cc", ".cu", ".cuh"}, ["proto", "gateway", "worker", "kernels"]):
        problems += check(path, (ROOT / path).read_text(encoding="utf-8"))
    return report("includes", problems)


if __name__ == "__main__":
    sys.exit(main())
