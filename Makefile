PROTO := $(shell find proto -name '*.proto')

proto: ## generate Go from the .proto files
	@mkdir -p .tools
	go build -modfile=tools/protogen/go.mod -o .tools/ google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
	PATH="$(CURDIR)/.tools:$$PATH" protoc -I proto --go_out=proto --go_opt=paths=source_relative --go-grpc_out=proto --go-grpc_opt=paths=source_relative $(PROTO:proto/%=%)
.PHONY: proto
