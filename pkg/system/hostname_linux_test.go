package system

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

func TestHostnameInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		if err := (Hostname{"box"}).Do(); err != nil {
			t.Error(err)
		}
		if got, err := os.Hostname(); got != "box" {
			t.Errorf("host name = %q, %v, want box", got, err)
		}
		if err := (Hostname{strings.Repeat("x", 65)}).Do(); !errors.Is(err, unix.EINVAL) {
			t.Errorf("Hostname of 65 bytes = %v, want EINVAL", err)
		}
	})
}
