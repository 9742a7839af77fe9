// Package config reads the one YAML file that a node is configured by.
//
// The law: the file is read strictly. A key that is not known, a value of the wrong type or out of range is an error, all errors
// are told at once, each with its line, and a file with an error configures nothing. Every key has a default that is safe; the
// commented reference file beside this package names them all and a test keeps it true.
package config
