package rootfs

import (
	"slices"
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
	d := &Device{Superblock: Superblock{UUID: "ab-cd", Label: "L"}, Partition: Partition{UUID: "12-01", Label: "P"}}
	bare := &Device{Path: "/dev/vdb"}
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
		if tag.matches(bare) {
			t.Errorf("matches(%q) of a device without names = true, want false", s)
		}
	}
}

func TestParsePartitions(t *testing.T) {
	const text = `major minor  #blocks  name

 254        0      32768 vda
 254        1       1024 vda1
 254       15       1024 vda15
 259        0    1000000 nvme0n1
 259        1        500 nvme0n1p1
 179        0        100 mmcblk0
 179        8          4 mmcblk0boot0
 104        0        100 cciss!c0d0
 104        1         50 cciss!c0d0p1
   7        0          0 loop0
 202        1         10 xvda1
 nonsense
   1        1          1 7
 1 1 -5 vdz
`
	want := []block{
		{"vda", 32768 << 10, "", 0}, {"vda1", 1 << 20, "vda", 1}, {"vda15", 1 << 20, "vda", 15},
		{"nvme0n1", 1000000 << 10, "", 0}, {"nvme0n1p1", 500 << 10, "nvme0n1", 1},
		{"mmcblk0", 100 << 10, "", 0}, {"mmcblk0boot0", 4 << 10, "", 0},
		{"cciss/c0d0", 100 << 10, "", 0}, {"cciss/c0d0p1", 50 << 10, "cciss/c0d0", 1},
		{"loop0", 0, "", 0}, {"xvda1", 10 << 10, "", 0}, {"7", 1 << 10, "", 0},
	}
	if got := parsePartitions([]byte(text)); !slices.Equal(got, want) {
		t.Errorf("parsePartitions = %v, want %v", got, want)
	}
}

func TestSameUUID(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"", "", true}, {"ab-12", "AB-12", true}, {"ab", "abc", false}, {"ab", "ac", false},
		{"1", "\x11", false}, {"-", "\r", false}, {"@", "`", false},
	} {
		if got := sameUUID(c.a, c.b); got != c.want {
			t.Errorf("sameUUID(%q, %q) = %v, want %v", c.a, c.b, got, c.want)
		}
		if got := sameUUID(c.b, c.a); got != c.want {
			t.Errorf("sameUUID(%q, %q) = %v, want %v", c.b, c.a, got, c.want)
		}
	}
}

func FuzzParsePartitions(f *testing.F) {
	f.Add([]byte("1 1 1 sdp\n1 1 1 sdp1\n1 1 1 p1\n1 1 1 0p1\n1 1 1 7"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, b := range parsePartitions(text) {
			if (b.disk == "") != (b.number == 0) || !strings.HasPrefix(b.name, b.disk) {
				t.Errorf("partition %+v", b)
			}
		}
	})
}

func TestDeviceString(t *testing.T) {
	for _, c := range []struct {
		d    Device
		want string
	}{
		{Device{Path: "/dev/vda"}, "/dev/vda (nothing known)"},
		{Device{Path: "/dev/vdb1", Superblock: Superblock{"ext4", "ab-cd", "my\nroot", true}, Partition: Partition{"12-01", "p"}},
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
