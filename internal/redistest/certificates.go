package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// writeCertificates writes ca.pem, the certificate of a new authority, and server.pem and
// server.key, with which a server on localhost identifies itself.
func writeCertificates(t testing.TB, dir string) {
	t.Helper()
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, kind string, content []byte) {
		t.Helper()
		block := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})
		fail(os.WriteFile(filepath.Join(dir, name), block, 0o600))
	}
	newKey := func() *ecdsa.PrivateKey {
		t.Helper()
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		fail(err)
		return key
	}
	authorityKey, serverKey := newKey(), newKey()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redistest authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, authority, authority,
		&authorityKey.PublicKey, authorityKey)
	fail(err)
	write("ca.pem", "CERTIFICATE", certificate)
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "redistest"},
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	certificate, err = x509.CreateCertificate(rand.Reader, server, authority, &serverKey.PublicKey,
		authorityKey)
	fail(err)
	write("server.pem", "CERTIFICATE", certificate)
	key, err := x509.MarshalPKCS8PrivateKey(serverKey)
	fail(err)
	write("server.key", "PRIVATE KEY", key)
}
