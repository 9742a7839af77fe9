package main

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/leasehold/leasehold/cmd/leasehold/config"
)

// everyField gives each field of a struct of the configuration a value that is not its zero.
func everyField(t *testing.T, v reflect.Value) {
	t.Helper()
	for i := range v.NumField() {
		f := v.Field(i)
		switch f.Interface().(type) {
		case time.Duration:
			f.SetInt(int64(time.Duration(i+1) * time.Second))
		case netip.Prefix:
			f.Set(reflect.ValueOf(netip.MustParsePrefix("2001:db8::/32")))
		case config.RelayDataMode:
			f.SetString(string(config.Always))
		case config.RelayDataPlace:
			f.SetString(string(config.InMessage))
		case config.TLSMode:
			f.SetString(string(config.TLSOptional))
		case []string:
			f.Set(reflect.ValueOf([]string{"address"}))
		case []uint16:
			f.Set(reflect.ValueOf([]uint16{uint16(i)}))
		case []netip.Prefix:
			f.Set(reflect.ValueOf([]netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}))
		default:
			fillPlain(t, f, i)
		}
	}
}

// fillPlain is everyField for what needs no look at its meaning.
func fillPlain(t *testing.T, f reflect.Value, i int) {
	t.Helper()
	switch f.Kind() {
	case reflect.Bool:
		f.SetBool(true)
	case reflect.Int, reflect.Int64:
		f.SetInt(int64(i + 1))
	case reflect.Float64:
		f.SetFloat(float64(i + 1))
	case reflect.String:
		f.SetString("x")
	case reflect.Struct:
		everyField(t, f)
	case reflect.Pointer:
		f.Set(reflect.New(f.Type().Elem()))
	default:
		t.Fatalf("no value for a %v: say one", f.Type())
	}
}

// requireEveryField wants every field to be set, but for those that the configuration has nothing to do with.
func requireEveryField(t *testing.T, translated any, others ...string) {
	t.Helper()
	left := map[string]bool{}
	for _, name := range others {
		left[name] = true
	}
	v := reflect.ValueOf(translated)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() != left[name] {
			t.Errorf("%v.%s is %v", v.Type(), name, v.Field(i))
		}
	}
}

// TestNothingIsLostInTranslation: what the configuration can say arrives, and what the servers can be told can be configured.
func TestNothingIsLostInTranslation(t *testing.T) {
	var cfg config.Config
	everyField(t, reflect.ValueOf(&cfg.Bulk).Elem())
	everyField(t, reflect.ValueOf(&cfg.Active).Elem())
	everyField(t, reflect.ValueOf(&cfg.TLS).Elem())
	everyField(t, reflect.ValueOf(&cfg.Read).Elem())
	cfg.RelayData, cfg.Sensitive = config.RelayData{Mode: config.Always, Place: config.InMessage}, []uint16{1}
	requireEveryField(t, engineConfig(cfg, nil, nil), "Metrics", "Logger")
	var stanza config.Requestor
	everyField(t, reflect.ValueOf(&stanza).Elem())
	stanza.Relayed, stanza.Active = config.Allow, config.Refuse
	requireEveryField(t, requestorStanza(&stanza))
	b := bulkConfig(cfg, nil)
	requireEveryField(t, b, "Answering", "MaxViewPinned", "MaxViewsKept", "SendBuffer")
	requireEveryField(t, b.TLS, "Credentials")
	requireEveryField(t, b.Active)
}
