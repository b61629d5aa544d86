# SPDX-License-Identifier: Apache-2.0
"""A gRPC client that has no .proto file: it learns a server's services from its reflection, as grpcurl does."""

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


class ReflectedClient:
    """Methods of a server's services by name, their messages built from what the server says of itself."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        self.database = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def services(self):
        return set(self.database.get_services())

    def method(self, service, name):
        found = self.pool.FindServiceByName(service).FindMethodByName(name)
        request = message_factory.GetMessageClass(found.input_type)
        response = message_factory.GetMessageClass(found.output_type)
        make = self.channel.unary_stream if found.server_streaming else self.channel.unary_unary
        call = make(f"/{service}/{name}", request_serializer=request.SerializeToString,
                    response_deserializer=response.FromString)
        return call, request
