// SPDX-License-Identifier: Apache-2.0
// `sluice`: the command for people. Finds the subcommand, and reads the environment once for all of
// them.
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "gateway/cli/bench/bench_command.h"
#include "gateway/cli/chat_command.h"
#include "gateway/cli/check_command.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/serve_command.h"
#include "gateway/cli/terminal.h"

namespace sluice::gateway {
namespace {

constexpr char kUsage[] =
    "Usage: sluice COMMAND [ARGUMENT]...\n"
    "  serve MODEL_DIR   serve a model folder on this host (OpenAI HTTP API and gRPC)\n"
    "  chat              talk with a served model in the terminal\n"
    "  bench             put a load on a server and report latencies and tokens/s\n"
    "  check MODEL_DIR   validate a model folder and a configuration without serving\n"
    "  version           print the version\n"
    "sluice COMMAND --help explains one of them.\n";

// Null when unset. Called before any thread is started.
const char* Environment(const char* name) {
  return std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
}

// The folder of this binary, where the servers lie too.
std::string BinDir() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "." : self.parent_path().string();
}

int UnknownCommand(const std::string& command) {
  std::cerr << "sluice: there is no command '" << command << "'";
  const std::string_view close =
      ClosestName(command, {"serve", "chat", "bench", "check", "version"});
  if (!close.empty()) std::cerr << "; did you mean '" << close << "'?";
  std::cerr << "\n" << kUsage;
  return 2;
}

int Main(const std::vector<std::string>& args) {
  if (args.empty()) {
    std::cerr << kUsage;
    return 2;
  }
  const std::string& command = args[0];
  const std::vector<std::string> rest(args.begin() + 1, args.end());
  const Terminal terminal = DetectTerminal(Environment("TERM"), Environment("NO_COLOR"));
  if (command == "serve") return RunServe(rest, terminal, BinDir());
  const char* key = Environment("SLUICE_API_KEY");
  const std::string api_key = key == nullptr ? "" : key;
  if (command == "chat") return RunChat(rest, terminal, api_key);
  if (command == "bench") return RunBench(rest, terminal, api_key, SLUICE_VERSION);
  if (command == "check") return RunCheck(rest, terminal, BinDir());
  if (command == "version" || command == "--version") {
    std::cout << "sluice " << SLUICE_VERSION << "\n";
    return 0;
  }
  if (command == "help" || command == "--help" || command == "-h") {
    std::cout << kUsage;
    return 0;
  }
  return UnknownCommand(command);
}

}  // namespace
}  // namespace sluice::gateway

int main(int argc, char** argv) {
  return sluice::gateway::Main(std::vector<std::string>(argv + 1, argv + argc));
}
