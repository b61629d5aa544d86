// SPDX-License-Identifier: Apache-2.0
// What `sluice bench` costs and adds by itself: its driver and HTTP target, in front of a server in
// the same process that answers at once or at a fixed pace and notes when it sends; its gRPC target
// in front of one that answers at once. Prints JSON:
//   cpu_us_per_chunk, cpu_us_per_request, cpu_share   processor time of the client's thread
//   delay_us          from the server's write of a chunk to the time that the client notes for it
//   chunks_per_s, requests_per_s                      at once: the most that the pair can do
//
//   load_generator_bench [--seconds=N]     of each case, default 3
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gateway/cli/bench/grpc_target.h"
#include "gateway/cli/bench/http_target.h"
#include "gateway/cli/bench/load_driver.h"
#include "gateway/cli/bench/summary.h"
#include "sluice/v1/inference.grpc.pb.h"
#include "tests/support/stream_server.h"

namespace {

namespace v1 = ::sluice::v1;
using namespace sluice::gateway;  // NOLINT(google-build-using-namespace)
using sluice::testing::StreamAnswer;
using sluice::testing::StreamServer;

struct Case {
  const char* name;
  int streams;
  int chunks;                          // of one answer
  std::chrono::microseconds interval;  // 0: at once
};

double ThreadCpuSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Chunks of the size that servers send: an id, a model, one delta.
std::shared_ptr<const std::vector<std::string>> Events(int chunks) {
  auto events = std::make_shared<std::vector<std::string>>();
  for (int i = 0; i < chunks; ++i) {
    events->push_back(
        R"({"id":"chatcmpl-0123456789abcdef0123456789abcdef","object":"chat.completion.chunk",)"
        R"("created":1764100000,"model":"Qwen3-14B-AWQ","choices":[{"index":0,"delta":{"content":)"
        R"(" token"},"logprobs":null,"finish_reason":null}]})");
  }
  events->push_back(
      R"({"id":"chatcmpl-0","choices":[{"index":0,"delta":{},"finish_reason":"length"}]})");
  events->push_back(R"({"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":)" +
                    std::to_string(chunks) + "}}");
  events->push_back("[DONE]");
  return events;
}

void Print(const char* name, const Summary& summary) {
  std::printf("\"%s\": {\"mean\": %.1f, \"p50\": %.1f, \"p99\": %.1f, \"max\": %.1f}, ", name,
              summary.mean, summary.p50, summary.p99, summary.max);
}

// The number that a request's prompt is.
uint64_t PromptOf(const std::string& body) {
  constexpr char kContent[] = "\"content\":\"";
  return std::strtoull(body.c_str() + body.find(kContent) + sizeof(kContent) - 1, nullptr, 10);
}

// From the server's write of each chunk to the client's time for it, in microseconds.
std::vector<double> Delays(const LoadRun& run, const StreamServer& server,
                           const std::map<uint64_t, uint64_t>& number_of) {
  std::vector<double> delays;
  for (size_t i = 0; i < run.records.size(); ++i) {
    const RequestRecord& record = run.records[i];
    const auto sent = server.send_times(number_of.at(i));
    std::chrono::duration<double> seen = record.first_text.time_since_epoch();
    for (size_t chunk = 0; chunk < static_cast<size_t>(record.chunks); ++chunk) {
      if (chunk > 0) seen += std::chrono::duration<double>(record.gaps[chunk - 1].seconds);
      const std::chrono::duration<double, std::micro> delay = seen - sent[chunk].time_since_epoch();
      delays.push_back(delay.count());
    }
  }
  return delays;
}

void Run(const Case& one, double seconds, bool last) {
  const auto events = Events(one.chunks);
  std::map<uint64_t, uint64_t> number_of;  // the server's number of request i
  StreamServer server([&](uint64_t number, const std::string&, const std::string& body) {
    number_of[PromptOf(body)] = number;
    StreamAnswer answer;
    answer.events = events;
    answer.interval = one.interval;
    return answer;
  });
  GenerationSettings settings;
  settings.model = "m";
  auto target = HttpTarget::Create(*ParseHttpUrl(server.url()), HttpEndpoint::kChat, settings);
  if (!target.ok()) std::exit(1);
  LoadPlan plan;
  plan.make_request = [](uint64_t index) {
    LoadRequest request;
    request.prompt = std::to_string(index);
    return request;
  };
  plan.concurrency = one.streams;
  plan.duration = std::chrono::duration<double>(seconds);
  const double cpu_before = ThreadCpuSeconds();
  const LoadRun run =
      LoadDriver(target->get(), std::move(plan), [](const LoadProgress&) { return true; }).Run();
  const double cpu_us = 1e6 * (ThreadCpuSeconds() - cpu_before);

  double chunks = 0;
  std::vector<double> to_first;
  for (const RequestRecord& record : run.records) {
    if (record.ending != Ending::kFinished) std::exit(1);
    chunks += record.chunks;
    to_first.push_back(
        std::chrono::duration<double, std::micro>(record.first_text - record.sent).count());
  }
  const double wall = run.totals.elapsed.count();
  const auto requests = static_cast<double>(run.records.size());
  std::printf("    {\"case\": \"%s\", \"streams\": %d, \"interval_us\": %lld, \"chunks\": %.0f, ",
              one.name, one.streams, static_cast<long long>(one.interval.count()), chunks);
  if (one.interval.count() > 0) Print("delay_us", Summarize(Delays(run, server, number_of)));
  Print("to_first_chunk_us", Summarize(std::move(to_first)));
  std::printf("\"cpu_us_per_chunk\": %.2f, \"cpu_us_per_request\": %.1f, \"cpu_share\": %.3f, ",
              cpu_us / chunks, cpu_us / requests, cpu_us / 1e6 / wall);
  std::printf("\"chunks_per_s\": %.0f, \"requests_per_s\": %.0f}%s\n", chunks / wall,
              requests / wall, last ? "" : ",");
  std::fflush(stdout);
}

// Sends the same number of chunks at once on every call.
class InstantInference final : public v1::Inference::Service {
 public:
  explicit InstantInference(int chunks) : chunks_(chunks) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~InstantInference() override { server_->Shutdown(std::chrono::system_clock::now()); }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  grpc::Status Chat(grpc::ServerContext*, const v1::ChatRequest*,
                    grpc::ServerWriter<v1::ChatResponse>* writer) override {
    v1::ChatResponse response;
    response.set_id("chatcmpl-0123456789abcdef0123456789abcdef");
    response.set_model("Qwen3-14B-AWQ");
    response.set_content(" token");
    for (int i = 0; i < chunks_; ++i) writer->Write(response);
    response.clear_content();
    response.set_finish_reason("length");
    response.mutable_usage()->set_completion_tokens(static_cast<uint32_t>(chunks_));
    writer->Write(response);
    return grpc::Status::OK;
  }

 private:
  const int chunks_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

void RunGrpc(const Case& one, double seconds, bool last) {
  InstantInference server(one.chunks);
  GrpcTarget target(server.address(), {});
  LoadPlan plan;
  plan.make_request = [](uint64_t) {
    LoadRequest request;
    request.prompt = "a prompt";
    return request;
  };
  plan.concurrency = one.streams;
  plan.duration = std::chrono::duration<double>(seconds);
  const double cpu_before = ThreadCpuSeconds();
  const LoadRun run =
      LoadDriver(&target, std::move(plan), [](const LoadProgress&) { return true; }).Run();
  const double cpu_us = 1e6 * (ThreadCpuSeconds() - cpu_before);
  const double wall = run.totals.elapsed.count();
  const auto chunks = static_cast<double>(run.totals.chunks);
  const auto requests = static_cast<double>(run.records.size());
  std::printf("    {\"case\": \"%s\", \"streams\": %d, \"interval_us\": 0, \"chunks\": %.0f, ",
              one.name, one.streams, chunks);
  std::printf("\"cpu_us_per_chunk\": %.2f, \"cpu_us_per_request\": %.1f, \"cpu_share\": %.3f, ",
              cpu_us / chunks, cpu_us / requests, cpu_us / 1e6 / wall);
  std::printf("\"chunks_per_s\": %.0f, \"requests_per_s\": %.0f}%s\n", chunks / wall,
              requests / wall, last ? "" : ",");
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = 3;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.rfind("--seconds=", 0) == 0) seconds = std::strtod(argument.c_str() + 10, nullptr);
  }
  using std::chrono::microseconds;
  const std::vector<Case> cases = {
      {"one chunk at once", 1, 1, microseconds(0)},
      {"one chunk at once", 64, 1, microseconds(0)},
      {"200 chunks at once", 64, 200, microseconds(0)},
      {"paced", 1, 50, microseconds(20000)},
      {"paced", 64, 50, microseconds(20000)},
      {"paced", 512, 50, microseconds(20000)},
      {"paced", 512, 50, microseconds(50000)},
  };
  std::printf("{\"bench\": \"load_generator\", \"cases\": [\n");
  for (const Case& one : cases) Run(one, seconds, /*last=*/false);
  RunGrpc({"gRPC, one chunk at once", 16, 1, microseconds(0)}, seconds, /*last=*/false);
  RunGrpc({"gRPC, 200 chunks at once", 16, 200, microseconds(0)}, seconds, /*last=*/true);
  std::printf("]}\n");
}
