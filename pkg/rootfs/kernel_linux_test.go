package rootfs

import (
	"slices"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/pkg/kmsg"
)

func TestReason(t *testing.T) {
	for _, c := range []struct {
		name    string
		records []string
		want    string
	}{
		{"nothing", nil, ""},
		{"an error after a notice", []string{
			"5,1,10,-;XFS (vda): Mounting V5 Filesystem\n SUBSYSTEM=block\n",
			"3,2,11,-;XFS (vda): log mount failed",
			"3,3,12,-;XFS (vda): and so on",
		}, "XFS (vda): log mount failed"},
		{"no error", []string{
			"6,1,10,-;EXT4-fs (vda): one",
			"4,2,11,-;EXT4-fs (vda): two",
		}, "EXT4-fs (vda): two"},
		{"of the driver", []string{"3,1,10,-;xfs: Unknown parameter"}, "xfs: Unknown parameter"},
		{"of others", []string{
			"3,1,10,-;EXT4-fs (vdb): bad",
			"0,2,11,-;usb: oh",
			"11,3,12,-;a daemon about vda",
		}, ""},
		{"malformed", []string{"", ";", "3;", "x,1;vda", "3,vda", "-1,2;vda"}, ""},
		{"long", []string{"3,1,10,-;vda" + strings.Repeat("x", 500)},
			"vda" + strings.Repeat("x", maxMessage-3)},
	} {
		r := reason{device: "vda", driver: "xfs"}
		for _, record := range c.records {
			r.addRecord(record)
		}
		if got := r.String(); got != c.want {
			t.Errorf("%s: reason.String() = %q, want %q", c.name, got, c.want)
		}
	}
}

// addRecord considers a record of /dev/kmsg.
func (r *reason) addRecord(record string) {
	if level, text, ok := kmsg.Parse([]byte(record)); ok {
		r.add(level, text)
	}
}

// TestReasonWithoutDevice checks that only messages of the driver count then.
func TestReasonWithoutDevice(t *testing.T) {
	r := reason{driver: "tmpfs"}
	r.addRecord("3,1,10,-;usb: oh")
	r.addRecord("3,2,11,-;tmpfs: Bad value for 'mode'")
	if got, want := r.String(), "tmpfs: Bad value for 'mode'"; got != want {
		t.Errorf("reason.String() = %q, want %q", got, want)
	}
}

// FuzzReason checks that the reason is one short line.
func FuzzReason(f *testing.F) {
	f.Add("3,1,10,-;EXT4-fs (vda): bad\n A=b")
	f.Fuzz(func(t *testing.T, record string) {
		r := reason{device: "vda", driver: "xfs"}
		r.addRecord(record)
		if s := r.String(); len(s) > maxMessage || strings.Contains(s, "\n") {
			t.Errorf("reason.String() = %q, want one line of at most %d bytes", s, maxMessage)
		}
	})
}

func TestParseFilesystems(t *testing.T) {
	got := parseFilesystems("nodev\tsysfs\n\text3\n\text4\nnodev\n\t\nnodev\toverlay")
	want := []fsType{{"sysfs", true}, {"ext3", false}, {"ext4", false}, {"overlay", true}}
	if !slices.Equal(got, want) {
		t.Errorf("parseFilesystems() = %v, want %v", got, want)
	}
}
