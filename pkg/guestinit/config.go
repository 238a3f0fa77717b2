package guestinit

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/krunbox/krunbox/pkg/guestconfig"
	"github.com/krunbox/krunbox/pkg/oci"
)

// EncodeConfig returns the configuration file, JSON in the spelling of the OCI runtime-spec, that
// guestconfig.Parse reads as c. Process.User counts only if HasUser is set. Capabilities may be in
// any order.
//
// Bytes of strings that are not UTF-8 are written unchanged. Parse accepts them, but RFC 8259 and
// most other readers do not.
//
// EncodeConfig returns an error that names the field if a value can't be written to a file, and if
// Unsupported is not empty.
func EncodeConfig(c guestconfig.Config) ([]byte, error) {
	data, err := encodeConfig(c)
	if err != nil {
		return nil, fmt.Errorf("guestinit: configuration: %w", err)
	}
	return data, nil
}

func encodeConfig(c guestconfig.Config) ([]byte, error) {
	if names := c.Process.Capabilities; names != nil {
		sets, err := oci.ParseCapabilities(*names)
		if err != nil {
			return nil, fmt.Errorf("Process.Capabilities: %w", err)
		}
		c.Process.Capabilities = &specs.LinuxCapabilities{
			Bounding:    sets.Bounding.Names(),
			Effective:   sets.Effective.Names(),
			Inheritable: sets.Inheritable.Names(),
			Permitted:   sets.Permitted.Names(),
			Ambient:     sets.Ambient.Names(),
		}
	}
	data, err := json.Marshal(newDocument(&c), encoding())
	if err != nil {
		return nil, err
	}
	got, err := guestconfig.Parse(data)
	if err != nil {
		return nil, err
	}
	return data, same("", c, got)
}

// document is a configuration file in JSON.
type document struct {
	Process    process       `json:"process"`
	User       string        `json:"User"`
	StopSignal string        `json:"StopSignal"`
	Hostname   string        `json:"hostname"`
	Domainname string        `json:"domainname"`
	Root       specs.Root    `json:"root"`
	Mounts     []specs.Mount `json:"mounts,omitempty"`
	Linux      specs.Linux   `json:"linux"`
}

// process is specs.Process, but its user may be absent.
type process struct {
	User *specs.User `json:"user"`
	specs.Process
}

func newDocument(c *guestconfig.Config) document {
	doc := document{
		Process:    process{Process: c.Process},
		Hostname:   c.Hostname,
		Domainname: c.Domainname,
		Root:       specs.Root{Readonly: c.RootReadonly},
		Mounts:     c.Mounts,
		Linux:      c.Linux,
	}
	if c.HasUser {
		user := c.Process.User
		user.Username = c.User
		doc.Process.User = &user
	} else {
		doc.User = c.User
	}
	if c.StopSignal != 0 {
		doc.StopSignal = strconv.Itoa(c.StopSignal)
	}
	return doc
}

// encoding returns the options to write a document. Fields that are zero are left out. The tags of
// package specs are written for encoding/json, whose omitempty keeps empty objects.
func encoding() json.Options {
	return json.JoinOptions(
		json.OmitZeroStructFields(true),
		jsonv1.OmitEmptyWithLegacySemantics(true),
		json.WithMarshalers(json.JoinMarshalers(
			json.MarshalToFunc(writeString[string]),
			json.MarshalToFunc(writeString[specs.LinuxNamespaceType]),
			json.MarshalToFunc(writeSysctls),
		)),
		jsontext.AllowDuplicateNames(true), // names that differ in bytes that are not UTF-8
		jsontext.AllowInvalidUTF8(true),
		jsontext.PreserveRawStrings(true),
	)
}

// writeString writes s byte for byte. Package json would replace bytes that are not UTF-8, so it
// quotes only ASCII characters.
func writeString[S ~string](out *jsontext.Encoder, s S) error {
	raw := []byte{'"'}
	for _, c := range []byte(s) {
		if c >= utf8.RuneSelf {
			raw = append(raw, c)
			continue
		}
		quoted, _ := jsontext.AppendQuote(nil, []byte{c}) // ASCII is valid UTF-8
		raw = append(raw, quoted[1:len(quoted)-1]...)
	}
	return out.WriteValue(append(raw, '"'))
}

// writeSysctls writes sysctls in the order of their names. The option Deterministic of package json
// would do so too, but would replace bytes that are not UTF-8.
func writeSysctls(out *jsontext.Encoder, sysctls map[string]string) error {
	if err := out.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(sysctls)) {
		if err := writeString(out, name); err != nil {
			return err
		}
		if err := writeString(out, sysctls[name]); err != nil {
			return err
		}
	}
	return out.WriteToken(jsontext.EndObject)
}
