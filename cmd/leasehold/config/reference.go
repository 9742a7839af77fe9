package config

import _ "embed"

//go:embed reference.yaml
var reference []byte

// Reference is the commented reference configuration: every key with its default.
func Reference() []byte { return append([]byte(nil), reference...) }
