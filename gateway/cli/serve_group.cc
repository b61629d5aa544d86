// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/serve_group.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gateway/cli/http_client.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPumpInterval{100};
constexpr std::chrono::seconds kReportInterval{2};

// Whether nothing on this host listens on the port now. The servers bind it themselves a moment
// later; losing that race ends in their own clear message.
bool IsPortFree(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return true;
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  address.sin_port = htons(static_cast<uint16_t>(port));
  const bool is_free = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  close(fd);
  return is_free;
}

int FreeOr0(int port) { return IsPortFree(port) ? port : 0; }

// "0.0.0.0:8000" as an address that one can connect to.
std::string Reachable(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return address;
  const std::string host = address.substr(0, colon);
  const bool any = host == "0.0.0.0" || host == "[::]" || host == "::" || host == "127.0.0.1";
  return any ? absl::StrCat("localhost", address.substr(colon)) : address;
}

}  // namespace

std::map<std::string, std::string> ParseListeningLine(std::string_view line) {
  std::map<std::string, std::string> addresses;
  constexpr std::string_view kStart = "listening ";
  if (line.substr(0, kStart.size()) != kStart) return addresses;
  line.remove_prefix(kStart.size());
  while (!line.empty()) {
    const size_t space = std::min(line.find(' '), line.size());
    const std::string_view word = line.substr(0, space);
    line.remove_prefix(std::min(space + 1, line.size()));
    const size_t equals = word.find('=');
    if (equals == std::string_view::npos) continue;
    addresses.emplace(word.substr(0, equals), word.substr(equals + 1));
  }
  return addresses;
}

ServeGroup::ServeGroup(const ServeOptions& options, const Terminal& terminal, std::string bin_dir,
                       int signal_fd)
    : options_(options),
      terminal_(terminal),
      bin_dir_(std::move(bin_dir)),
      signal_fd_(signal_fd),
      next_report_(start_ + kReportInterval) {}

std::string ServeGroup::Address(const std::string& name) const {
  const bool of_worker = name == "worker_metrics";
  const auto& addresses = of_worker ? worker_.addresses : gateway_.addresses;
  const auto it = addresses.find(of_worker ? "metrics" : name);
  return it == addresses.end() ? std::string() : Reachable(it->second);
}

void ServeGroup::AddPort(const char* flag, const ServeOptions::Port& port, int otherwise,
                         std::vector<std::string>* args) const {
  // The configuration file, which the gateway reads, comes before what nobody asked for.
  if (!port.given && !options_.config_file.empty()) return;
  args->push_back(absl::StrCat("--", flag, "=", port.given ? port.number : otherwise));
}

absl::Status ServeGroup::Start() {
  SLUICE_RETURN_IF_ERROR(CheckTextFiles());
  std::vector<std::string> worker_args = options_.worker_args;
  // Between each other, on this host alone, on free ports: also where a file says otherwise for the
  // gateway.
  worker_args.insert(worker_args.end(),
                     {"--listen=127.0.0.1", "--grpc-port=0", "--metrics-port=0"});
  SLUICE_RETURN_IF_ERROR(Launch(&worker_, worker_args));
  SLUICE_RETURN_IF_ERROR(AwaitListening(worker_));

  std::vector<std::string> gateway_args = options_.gateway_args;
  gateway_args.push_back(absl::StrCat("--workers=", worker_.addresses.at("grpc")));
  AddPort("http-port", options_.http, options_.http.number, &gateway_args);
  AddPort("grpc-port", options_.grpc, FreeOr0(options_.grpc.number), &gateway_args);
  AddPort("metrics-port", options_.metrics, FreeOr0(options_.metrics.number), &gateway_args);
  SLUICE_RETURN_IF_ERROR(Launch(&gateway_, gateway_args));
  SLUICE_RETURN_IF_ERROR(AwaitListening(gateway_));
  return AwaitReady();
}

absl::Status ServeGroup::CheckTextFiles() {
  std::vector<std::string> args = options_.gateway_args;
  args.emplace_back("--check");
  SLUICE_RETURN_IF_ERROR(Launch(&check_, args));
  while (!check_.process->HasEnded()) {
    Pump(kPumpInterval);
    if (stop_signals_ > 0) return absl::CancelledError("stopped by a signal");
    ReportProgress();
  }
  if (check_.process->EndedWell()) return absl::OkStatus();
  return check_.process->Failure("sluice-gateway --check");
}

absl::Status ServeGroup::Launch(Server* server, const std::vector<std::string>& args) {
  auto process = ChildProcess::Start(absl::StrCat(bin_dir_, "/", server->name), args);
  if (!process.ok()) return process.status();
  server->process = *std::move(process);
  return absl::OkStatus();
}

absl::Status ServeGroup::AwaitListening(const Server& server) {
  while (server.addresses.empty()) {
    Pump(kPumpInterval);
    SLUICE_RETURN_IF_ERROR(EndedEarly());
    ReportProgress();
  }
  const std::string needed = &server == &worker_ ? "grpc" : "http";
  if (server.addresses.find(needed) == server.addresses.end()) {
    return absl::InternalError(absl::StrCat(server.name, " did not say its ", needed, " address"));
  }
  return absl::OkStatus();
}

absl::Status ServeGroup::AwaitReady() {
  while (!IsReady()) {
    Pump(kPumpInterval);
    SLUICE_RETURN_IF_ERROR(EndedEarly());
    ReportProgress();
  }
  return absl::OkStatus();
}

bool ServeGroup::IsReady() const {
  const auto url = ParseHttpUrl(absl::StrCat("http://", Address("http")));
  if (!url.ok()) return false;
  HttpLimits limits;
  limits.connect = limits.silence = milliseconds(500);
  const auto status = Fetch({*url, "/readyz", "", ""}, limits, [](int, std::string_view) {});
  return status.ok() && *status == 200;
}

void ServeGroup::ReportProgress() {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_report_) return;
  next_report_ = now + kReportInterval;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  std::cerr << terminal_.Dim()
            << absl::StrFormat("sluice: loading %s, %.0f s so far", options_.model, seconds)
            << terminal_.Reset() << std::endl;
}

absl::Status ServeGroup::EndedEarly() const {
  if (stop_signals_ > 0) return absl::CancelledError("stopped by a signal");
  for (const Server* server : {&worker_, &gateway_}) {
    if (server->process != nullptr && server->process->HasEnded()) {
      return server->process->Failure(server->name);
    }
  }
  return absl::OkStatus();
}

absl::Status ServeGroup::Supervise() {
  for (;;) {
    Pump(std::chrono::hours(1));  // SIGCHLD ends the wait when a server ends
    absl::Status status = EndedEarly();
    if (absl::IsCancelled(status)) return absl::OkStatus();
    if (!status.ok()) return status;
  }
}

absl::Status ServeGroup::Stop() {
  check_.process.reset();
  const absl::Status gateway = StopServer(&gateway_);
  const absl::Status worker = StopServer(&worker_);
  return gateway.ok() ? worker : gateway;
}

absl::Status ServeGroup::StopServer(Server* server) {
  if (server->process == nullptr) return absl::OkStatus();
  ChildProcess& process = *server->process;
  const bool ended_before = process.HasEnded();
  const int signals_before = stop_signals_;
  process.Signal(SIGTERM);
  while (!process.HasEnded()) {
    Pump(kPumpInterval);
    if (stop_signals_ > std::max(signals_before, 1)) process.Signal(SIGKILL);
  }
  TakeLines(server);
  if (ended_before || process.EndedWell()) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat(server->name, " ", process.HowItEnded(), " while it was stopped"));
}

void ServeGroup::Pump(milliseconds timeout) {
  // poll() ignores negative descriptors: servers that are not there or closed their output.
  const auto output_of = [](const Server& server) {
    return server.process == nullptr ? -1 : server.process->output_fd();
  };
  pollfd fds[4] = {{signal_fd_, POLLIN, 0},
                   {output_of(check_), POLLIN, 0},
                   {output_of(worker_), POLLIN, 0},
                   {output_of(gateway_), POLLIN, 0}};
  poll(fds, 4, static_cast<int>(timeout.count()));
  signalfd_siginfo info;
  while (read(signal_fd_, &info, sizeof(info)) == sizeof(info)) {
    if (info.ssi_signo != SIGCHLD) ++stop_signals_;
  }
  for (Server* server : {&check_, &worker_, &gateway_}) TakeLines(server);
}

void ServeGroup::TakeLines(Server* server) {
  if (server->process == nullptr) return;
  for (const std::string& line : server->process->ReadLines()) {
    auto addresses = ParseListeningLine(line);
    if (addresses.empty()) {
      std::cerr << line << std::endl;
    } else if (server->addresses.empty()) {
      server->addresses = std::move(addresses);
    }
  }
}

}  // namespace sluice::gateway
