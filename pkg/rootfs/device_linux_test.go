package rootfs

import (
	"strings"
	"testing"
)

func TestParseTag(t *testing.T) {
	for s, want := range map[string]tag{
		"/dev/vda":            {"", "/dev/vda"},
		"/dev/LABEL=x":        {"", "/dev/LABEL=x"},
		"UUID=ABC":            {"UUID", "ABC"},
		`LABEL="my root"`:     {"LABEL", "my root"},
		"LABEL='x'":           {"LABEL", "x"},
		`LABEL=x"`:            {"LABEL", `x"`},
		"LABEL=a=b":           {"LABEL", "a=b"},
		"PARTUUID=1234abcd-1": {"PARTUUID", "1234abcd-1"},
		"PARTLABEL=root":      {"PARTLABEL", "root"},
	} {
		if got, err := parseTag(s); got != want || err != nil {
			t.Errorf("parseTag(%q) = %q, %v, want %q", s, got, err, want)
		}
	}
	for _, s := range []string{"", "vda", "UUID", "UUID=", `LABEL=""`, "ID=x", "uuid=x"} {
		if got, err := parseTag(s); err == nil {
			t.Errorf("parseTag(%q) = %q, want an error", s, got)
		}
	}
}

func TestMatches(t *testing.T) {
	d := &Device{Superblock: Superblock{UUID: "ab-cd", Label: "L"},
		Partition: Partition{UUID: "12-01", Label: "P"}}
	unnamed := &Device{Path: "/dev/vdb"}
	for s, want := range map[string]bool{
		"UUID=ab-cd": true, "UUID=AB-CD": true, "UUID=12-01": false, "UUID=ab": false,
		"LABEL=L": true, "LABEL=l": false, "LABEL=P": false,
		"PARTUUID=12-01": true, "PARTUUID=ab-cd": false,
		"PARTLABEL=P": true, "PARTLABEL=p": false, "PARTLABEL=L": false,
	} {
		tag, err := parseTag(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := tag.matches(d); got != want {
			t.Errorf("matches(%q) = %v, want %v", s, got, want)
		}
		if tag.matches(unnamed) {
			t.Errorf("matches(%q) for a device without names = true, want false", s)
		}
	}
}

func TestDeviceString(t *testing.T) {
	for _, c := range []struct {
		d    Device
		want string
	}{
		{Device{Path: "/dev/vda"}, "/dev/vda (nothing known)"},
		{Device{Path: "/dev/vdb1", Superblock: Superblock{"ext4", "ab-cd", "my\nroot", true},
			Partition: Partition{"12-01", "p"}},
			`/dev/vdb1 (ext4, UUID=ab-cd, LABEL="my\nroot", PARTUUID=12-01, PARTLABEL="p")`},
	} {
		if got := c.d.String(); got != c.want {
			t.Errorf("String() = %s, want %s", got, c.want)
		}
	}
}

func TestList(t *testing.T) {
	words := strings.Fields("a b c d e f g h i")
	if got, want := list(words), "a, b, c, d, e, f, g, h, ..."; got != want {
		t.Errorf("list(%q) = %q, want %q", words, got, want)
	}
	if words[8] != "i" {
		t.Error("list changed its argument")
	}
}
