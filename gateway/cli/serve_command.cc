// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/serve_command.h"

#include <signal.h>
#include <sys/signalfd.h>

#include <chrono>
#include <iostream>

#include "absl/strings/str_format.h"
#include "gateway/cli/serve_group.h"
#include "gateway/cli/serve_options.h"

namespace sluice::gateway {
namespace {

int MakeSignalFd() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal_number : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&set, signal_number);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

// The first line is for scripts, the rest for people.
void PrintReady(const ServeGroup& group, const Terminal& terminal, const std::string& bin_dir,
                double seconds) {
  const std::string http = group.Address("http");
  std::cout << absl::StrFormat("listening http=%s grpc=%s metrics=%s worker_metrics=%s\n", http,
                               group.Address("grpc"), group.Address("metrics"),
                               group.Address("worker_metrics"));
  std::cout << absl::StrFormat(
      "%sReady after %.1f s.%s Try, from another terminal:\n"
      "  %s/sluice chat --url http://%s\n"
      "  curl -N http://%s/v1/chat/completions -H 'Content-Type: application/json' \\\n"
      "    -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}], \"stream\": true}'\n"
      "OpenAI clients: base_url http://%s/v1. gRPC with reflection: %s. Metrics: "
      "http://%s/metrics\n"
      "A question that ends with /no_think is answered without thinking. Ctrl-C drains and "
      "stops.\n",
      std::string(terminal.Bold()), seconds, std::string(terminal.Reset()), bin_dir, http, http,
      http, group.Address("grpc"), group.Address("metrics"));
  std::cout.flush();
}

void PrintFailure(const absl::Status& status, const Terminal& terminal) {
  std::cerr << terminal.Red() << "sluice serve: " << status.message() << terminal.Reset()
            << std::endl;
}

}  // namespace

int RunServe(const std::vector<std::string>& args, const Terminal& terminal,
             const std::string& bin_dir) {
  const auto options = ParseServeOptions(args);
  if (!options.ok()) {
    PrintFailure(options.status(), terminal);
    return 2;
  }
  if (options->help) {
    std::cout << ServeHelp();
    return 0;
  }
  const absl::Status config = CheckConfigFile(*options);
  if (!config.ok()) {
    PrintFailure(config, terminal);
    return 2;
  }
  const auto start = std::chrono::steady_clock::now();
  ServeGroup group(*options, terminal, bin_dir, MakeSignalFd());
  absl::Status status = group.Start();
  if (status.ok()) {
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    PrintReady(group, terminal, bin_dir, taken.count());
    status = group.Supervise();
  }
  const bool stopped = status.ok() || absl::IsCancelled(status);
  if (stopped) {
    std::cerr << "sluice: stopping; running requests finish first" << std::endl;
  } else {
    PrintFailure(status, terminal);
  }
  const absl::Status stop = group.Stop();
  if (!stop.ok()) PrintFailure(stop, terminal);
  if (stopped && stop.ok()) std::cerr << "sluice: stopped" << std::endl;
  if (absl::IsInvalidArgument(status)) return 2;
  return stopped && stop.ok() ? 0 : 1;
}

}  // namespace sluice::gateway
