package config

import _ "embed"

//go:embed reference.yaml
var reference []byte

//go:embed feederreference.yaml
var feederReference []byte

// FeederReference is the commented reference configuration of an agent.
func FeederReference() []byte { return append([]byte(nil), feederReference...) }

// Reference is the commented reference configuration: every key with its default.
func Reference() []byte { return append([]byte(nil), reference...) }
