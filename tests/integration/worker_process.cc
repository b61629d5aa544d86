// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/worker_process.h"

#include <dirent.h>
#include <fcntl.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "grpc/health/v1/health.grpc.pb.h"
#include "proto/wire/status.h"
#include "tests/support/http_client.h"

namespace sluice::integration {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{90};

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

struct Child {
  pid_t pid;
  int output_fd;
  std::string error_path;
};

Child Spawn(const std::vector<std::string>& arguments) {
  std::string error_path = ::testing::TempDir() + "sluice-worker-XXXXXX";
  const int error_fd = mkstemp(error_path.data());
  int pipe_fds[2];
  EXPECT_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
  const char* const other = std::getenv("SLUICE_TEST_WORKER");
  const std::string path = other != nullptr ? other : SLUICE_BINARY_DIR "/bin/sluice-worker";
  std::vector<std::string> storage = arguments;
  std::vector<char*> argv = {const_cast<char*>(path.c_str())};
  for (std::string& argument : storage) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    // A test that dies must not leave workers behind.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(pipe_fds[1], STDOUT_FILENO);
    dup2(error_fd, STDERR_FILENO);
    execv(path.c_str(), argv.data());
    _exit(127);
  }
  close(pipe_fds[1]);
  close(error_fd);
  return {pid, pipe_fds[0], error_path};
}

std::string Drain(int fd) {
  std::string text;
  char buffer[4096];
  ssize_t size = 0;
  while ((size = read(fd, buffer, sizeof(buffer))) > 0)
    text.append(buffer, static_cast<size_t>(size));
  return text;
}

int ExitCode(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// The fields of /proc/PID/stat after the name, which may itself hold anything.
std::vector<std::string> Stat(pid_t pid) {
  const std::string text = ReadFile("/proc/" + std::to_string(pid) + "/stat");
  const size_t end = text.rfind(')');
  if (end == std::string::npos) return {};
  std::istringstream rest(text.substr(end + 1));
  std::vector<std::string> fields;
  for (std::string field; rest >> field;) fields.push_back(field);
  return fields;
}

}  // namespace

bool Eventually(const std::function<bool()>& condition) {
  const auto until = steady_clock::now() + kPatience;
  while (steady_clock::now() < until) {
    if (condition()) return true;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return condition();
}

bool IsGone(pid_t pid) {
  const std::vector<std::string> stat = Stat(pid);
  return stat.empty() || stat[0] == "Z" || stat[0] == "X";
}

ProcessEnd RunWorker(const std::vector<std::string>& arguments) {
  const Child child = Spawn(arguments);
  ProcessEnd end;
  end.output = Drain(child.output_fd);
  close(child.output_fd);
  int status = 0;
  EXPECT_EQ(waitpid(child.pid, &status, 0), child.pid);
  end.exit_code = ExitCode(status);
  end.errors = ReadFile(child.error_path);
  unlink(child.error_path.c_str());
  return end;
}

WorkerProcess::WorkerProcess(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"--grpc-port=0", "--metrics-port=0", "--max-model-len=1024",
                                       "--kv-cache-memory=64MiB", "--threads=1"});
  const Child child = Spawn(arguments);
  pid_ = child.pid;
  output_fd_ = child.output_fd;
  error_path_ = child.error_path;
  const auto until = steady_clock::now() + kPatience;
  while (output_.find('\n') == std::string::npos && steady_clock::now() < until) {
    pollfd readable{output_fd_, POLLIN, 0};
    if (poll(&readable, 1, 1000) <= 0) continue;
    char buffer[512];
    const ssize_t size = read(output_fd_, buffer, sizeof(buffer));
    if (size <= 0) break;
    output_.append(buffer, static_cast<size_t>(size));
  }
  std::istringstream words(output_);
  for (std::string word; words >> word;) {
    if (word.rfind("grpc=", 0) == 0) grpc_address_ = word.substr(5);
    if (word.rfind("metrics=", 0) == 0)
      metrics_port_ = std::atoi(word.c_str() + word.rfind(':') + 1);
  }
  EXPECT_FALSE(grpc_address_.empty()) << "no listening line; " << ReadFile(error_path_);
  grpc::ChannelArguments channel;
  channel.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
  channel.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  channel.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  channel_ = grpc::CreateCustomChannel(grpc_address_, grpc::InsecureChannelCredentials(), channel);
}

WorkerProcess::~WorkerProcess() {
  if (!reaped_) {
    const std::vector<pid_t> ranks = RankPids();
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    for (pid_t rank : ranks) EXPECT_TRUE(Eventually([rank] { return IsGone(rank); }));
  }
  close(output_fd_);
  if (::testing::Test::HasFailure()) std::fputs(ReadFile(error_path_).c_str(), stderr);
  unlink(error_path_.c_str());
}

bool WorkerProcess::IsServing() const {
  const auto health = grpc::health::v1::Health::NewStub(channel_);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  grpc::health::v1::HealthCheckResponse response;
  return health->Check(&context, {}, &response).ok() &&
         response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
}

bool WorkerProcess::WaitServing() {
  return Eventually([this] { return IsServing(); });
}

Answer WorkerProcess::Generate(const v1::GenerateRequest& request) const {
  const auto stub = NewStub();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  const auto stream = stub->Generate(&context, request);
  Answer answer;
  v1::GenerateResponse message;
  while (stream->Read(&message)) {
    answer.ids.insert(answer.ids.end(), message.ids().begin(), message.ids().end());
    std::vector<int>& ids = answer.choices[message.choice()];
    ids.insert(ids.end(), message.ids().begin(), message.ids().end());
    if (message.finish_reason() == v1::FINISH_REASON_UNSPECIFIED) continue;
    if (request.n() <= 1) {
      EXPECT_EQ(answer.finish, v1::FINISH_REASON_UNSPECIFIED) << "two ends";
    }
    answer.finish = message.finish_reason();
    answer.usage = message.usage();
  }
  answer.status = wire::FromGrpcStatus(stream->Finish(), context);
  return answer;
}

std::optional<double> WorkerProcess::Metric(const std::string& name) const {
  const auto reply = sluice::testing::HttpGet(metrics_port_, "/metrics");
  if (!reply) return std::nullopt;
  std::istringstream lines(reply->body);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(name + " ", 0) == 0) return std::atof(line.c_str() + name.size() + 1);
  }
  return std::nullopt;
}

std::vector<pid_t> WorkerProcess::RankPids() const {
  std::vector<std::pair<int, pid_t>> ranks;
  DIR* const proc = opendir("/proc");
  while (const dirent* entry = readdir(proc)) {
    const pid_t pid = std::atoi(entry->d_name);
    if (pid <= 0) continue;
    const std::vector<std::string> stat = Stat(pid);
    if (stat.size() < 2 || stat[1] != std::to_string(pid_)) continue;
    const std::string command = ReadFile("/proc/" + std::to_string(pid) + "/cmdline");
    const size_t rank = command.find("--rank=");
    if (rank != std::string::npos) ranks.emplace_back(std::atoi(command.c_str() + rank + 7), pid);
  }
  closedir(proc);
  std::sort(ranks.begin(), ranks.end());
  std::vector<pid_t> pids;
  for (const auto& [rank, pid] : ranks) pids.push_back(pid);
  return pids;
}

void WorkerProcess::Signal(int signal_number) const { kill(pid_, signal_number); }

ProcessEnd WorkerProcess::Wait() {
  ProcessEnd end;
  end.output = output_ + Drain(output_fd_);
  int status = 0;
  EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
  reaped_ = true;
  end.exit_code = ExitCode(status);
  end.errors = ReadFile(error_path_);
  return end;
}

v1::GenerateRequest GreedyRequest(const std::string& id, const std::vector<int>& prompt,
                                  int max_tokens) {
  v1::GenerateRequest request;
  request.set_request_id(id);
  request.mutable_prompt_ids()->Add(prompt.begin(), prompt.end());
  request.mutable_sampling()->set_temperature(0.0f);
  request.mutable_sampling()->set_ignore_eos(true);
  request.mutable_sampling()->set_max_tokens(static_cast<uint32_t>(max_tokens));
  return request;
}

std::vector<int> Prompt(int seed, int length) {
  std::vector<int> ids;
  unsigned state = static_cast<unsigned>(seed) * 2654435761u + 12345u;
  for (int i = 0; i < length; ++i) {
    state = state * 1664525u + 1013904223u;
    ids.push_back(static_cast<int>(state >> 24));
  }
  return ids;
}

}  // namespace sluice::integration
