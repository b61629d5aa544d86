# SPDX-License-Identifier: Apache-2.0
"""Shows that each hygiene check can fail: it is run on a small tree that breaks its rule."""

import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
LICENCE = "// SPDX-License-Identifier: Apache-2.0\n"


class HygieneTest(unittest.TestCase):
    def run_check(self, check, tree):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            shutil.copytree(HERE, root / "tests" / "hygiene", ignore=shutil.ignore_patterns("__pycache__"))
            (root / "CMakeLists.txt").write_text("project(x)\n")
            for name, text in tree.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            result = subprocess.run([sys.executable, "-B", root / "tests" / "hygiene" / check],
                                    capture_output=True, text=True, check=False)
            return result.returncode, result.stdout

    def assert_fails(self, check, tree, message):
        status, output = self.run_check(check, tree)
        self.assertEqual(status, 1, output)
        self.assertIn(message, output)

    def test_a_clean_tree_passes(self):
        tree = {"worker/base/ids.h": LICENCE + "#pragma once\n",
                "worker/cache/pool.cc": LICENCE + '#include "worker/base/ids.h"\n'}
        for check in ["check_includes.py", "check_sizes.py", "check_names.py", "check_tests_registered.py"]:
            status, output = self.run_check(check, tree)
            self.assertEqual(status, 0, output)

    def test_an_upward_edge_fails(self):
        tree = {"worker/engine/engine.h": "", "worker/cache/pool.cc": '#include "worker/engine/engine.h"\n'}
        self.assert_fails("check_includes.py", tree, "worker/cache -> worker/engine is not allowed")

    def test_gateway_and_worker_stay_apart(self):
        tree = {"worker/base/ids.h": "", "gateway/session/a.cc": '#include "worker/base/ids.h"\n'}
        self.assert_fails("check_includes.py", tree, "gateway/session -> worker/base is not allowed")

    def test_grpc_is_confined(self):
        self.assert_fails("check_includes.py", {"worker/engine/a.cc": "#include <grpcpp/grpcpp.h>\n"},
                          "gRPC and protobuf headers are confined")

    def test_environment_is_confined(self):
        for call in ('auto x = getenv("HOME");\n', 'void F() { setenv("HOME", "/", 1); }\n'):
            self.assert_fails("check_includes.py", {"worker/engine/a.cc": call},
                              "reads or changes the environment")

    def test_a_long_source_fails(self):
        self.assert_fails("check_sizes.py", {"worker/engine/a.cc": "\n" * 801}, "801 lines")

    def test_an_unregistered_test_fails(self):
        self.assert_fails("check_tests_registered.py",
                          {"tests/worker/a_test.cc": "", "tests/worker/CMakeLists.txt": "# a_test.cc\n"},
                          "not registered")

    def test_a_disabled_test_fails(self):
        self.assert_fails("check_tests_registered.py",
                          {"tests/worker/a_test.cc": "TEST(A, DISABLED_B) {}\n",
                           "tests/worker/CMakeLists.txt": "sluice_test(a SRCS a_test.cc)\n"},
                          "disabled test")

    def test_an_empty_name_fails(self):
        self.assert_fails("check_names.py", {"worker/string_utils.h": LICENCE + "#pragma once\n"}, "says nothing")

    def test_a_missing_licence_fails(self):
        self.assert_fails("check_names.py", {"worker/a.cc": "int x;\n"}, "licence line")


if __name__ == "__main__":
    unittest.main()
