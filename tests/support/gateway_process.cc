// SPDX-License-Identifier: Apache-2.0
#include "tests/support/gateway_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "tests/support/http_client.h"

namespace sluice::testing {
namespace {

constexpr std::chrono::seconds kTimeout{60};

std::map<std::string, int> ParseListeningLine(const std::string& line) {
  std::map<std::string, int> ports;
  std::istringstream words(line);
  std::string word;
  words >> word;
  if (word != "listening") return ports;
  while (words >> word) {
    const size_t equals = word.find('=');
    const size_t colon = word.rfind(':');
    ports[word.substr(0, equals)] = std::atoi(word.c_str() + colon + 1);
  }
  return ports;
}

}  // namespace

GatewayProcess::GatewayProcess(std::vector<std::string> arguments) {
  for (const char* option :
       {"--listen=127.0.0.1", "--http-port=0", "--grpc-port=0", "--metrics-port=0"}) {
    const std::string name(option, std::find(option, option + std::string(option).size(), '=') + 1);
    const bool given =
        std::any_of(arguments.begin(), arguments.end(),
                    [&](const std::string& argument) { return argument.rfind(name, 0) == 0; });
    if (!given) arguments.emplace_back(option);
  }
  static int number = 0;
  log_path_ =
      (std::filesystem::temp_directory_path() /
       ("sluice-gateway-" + std::to_string(getpid()) + "-" + std::to_string(number++) + ".log"))
          .string();
  int output[2];
  if (pipe2(output, O_CLOEXEC) != 0) std::abort();
  arguments.insert(arguments.begin(), std::string(SLUICE_BINARY_DIR) + "/bin/sluice-gateway");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that dies leaves nothing behind
    const int log = open(log_path_.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    dup2(output[1], STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execv(argv[0], argv.data());
    _exit(127);
  }
  close(output[1]);
  output_ = output[0];
  std::string line;
  char byte;
  while (read(output_, &byte, 1) == 1 && byte != '\n') line += byte;
  ports_ = ParseListeningLine(line);
}

GatewayProcess::~GatewayProcess() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(output_);
  std::filesystem::remove(log_path_);
}

bool GatewayProcess::AwaitReady() const {
  const auto deadline = std::chrono::steady_clock::now() + kTimeout;
  while (std::chrono::steady_clock::now() < deadline) {
    const auto reply = HttpGet(port("http"), "/readyz");
    if (reply && reply->status == 200) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

void GatewayProcess::Signal(int signal_number) const { kill(pid_, signal_number); }

int GatewayProcess::AwaitExit() {
  const auto deadline = std::chrono::steady_clock::now() + kTimeout;
  while (std::chrono::steady_clock::now() < deadline) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return -1000;
}

std::string GatewayProcess::Log() const {
  std::ifstream file(log_path_);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace sluice::testing
