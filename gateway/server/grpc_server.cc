// SPDX-License-Identifier: Apache-2.0
#include "gateway/server/grpc_server.h"

#include <utility>

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/server/chat_service.h"
#include "grpc/health/v1/health.pb.h"
#include "proto/wire/listening_port.h"

namespace sluice::gateway {

struct GrpcServer::Impl {
  Impl(const ApiContext& context, size_t max_unsent_bytes) : service(context, max_unsent_bytes) {}
  ChatService service;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
  bool serving = false;
};

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const GrpcServerOptions& options,
                                                              const ApiContext& context) {
  // Before any server is built; both are process-wide in gRPC.
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  // gRPC's health service knows no descriptor of its own; linking ours in lets reflection describe
  // it.
  grpc::health::v1::HealthCheckRequest::descriptor();

  auto impl = std::make_unique<Impl>(context, options.max_unsent_bytes);
  const std::string address =
      absl::StrCat(absl::StrContains(options.listen, ":") ? absl::StrCat("[", options.listen, "]")
                                                          : options.listen,
                   ":", options.port);
  const absl::Status can_listen = wire::CheckCanListen(options.listen, options.port);
  if (!can_listen.ok()) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen for gRPC on ", address, ": ", can_listen.message()));
  }
  grpc::ServerBuilder builder;
  // Two gateways on one port would share its connections by chance.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(static_cast<int>(options.max_request_bytes));
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &impl->port);
  builder.RegisterService(&impl->service);
  impl->server = builder.BuildAndStart();
  if (!impl->server || impl->port == 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen for gRPC on ", address));
  }
  std::unique_ptr<GrpcServer> server(new GrpcServer(std::move(impl)));
  server->impl_->serving = true;  // gRPC's own beginning, which the next line ends
  server->SetServing(false);
  return server;
}

GrpcServer::GrpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

GrpcServer::~GrpcServer() { Stop(std::chrono::milliseconds(0)); }

int GrpcServer::port() const { return impl_->port; }

void GrpcServer::SetServing(bool serving) {
  if (impl_->serving == serving) return;
  impl_->serving = serving;
  grpc::HealthCheckServiceInterface* health = impl_->server->GetHealthCheckService();
  health->SetServingStatus(serving);
  health->SetServingStatus("sluice.v1.Inference", serving);
}

void GrpcServer::Stop(std::chrono::milliseconds timeout) {
  if (!impl_->server) return;
  impl_->server->Shutdown(std::chrono::system_clock::now() + timeout);
  impl_->server->Wait();
  impl_->server.reset();
}

}  // namespace sluice::gateway
