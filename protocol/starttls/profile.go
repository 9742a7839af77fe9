package starttls

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// minRSABits is the shortest RSA key that counts (RFC 9325 4.5).
const minRSABits = 2048

var errWeakKey = errors.New("RSA key too short")

// profile is what RFC 9325 asks of either side.
func profile() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, // RFC 9325 3.1.1: MUST NOT negotiate less
		CipherSuites: []uint16{ // of TLS 1.2 (RFC 9325 4.2); those of 1.3 are all well
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		CurvePreferences:       []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384},
		Renegotiation:          tls.RenegotiateNever, // RFC 9325 3.5
		SessionTicketsDisabled: true,                 // RFC 9325 3.4: resumption is not asked for
		// Records of 16 KiB from the first on: a bulk answer's first octets are not worth more than its speed.
		DynamicRecordSizingDisabled: true,
	}
}

// strong tells why a verified chain is too weak, though crypto/x509 accepts it (RFC 9325 4.5).
func strong(chains [][]*x509.Certificate) error {
	var weak error
	for _, chain := range chains {
		if weak = strongKeys(chain); weak == nil {
			return nil
		}
	}
	return weak
}

func strongKeys(chain []*x509.Certificate) error {
	for _, c := range chain {
		if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() < minRSABits {
			return fmt.Errorf("certificate %q: %w: %d bits, want %d", c.Subject, errWeakKey, k.N.BitLen(), minRSABits)
		}
	}
	return nil
}
