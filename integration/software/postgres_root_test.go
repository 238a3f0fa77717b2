//go:build software

package software

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/krunbox/krunbox/integration/vm"
)

// TestPostgres runs the image's entry point as root, with a directory of the host for the data.
func TestPostgres(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	i := postgresImage
	i.Mounts = []specs.Mount{{Destination: postgresData, Type: "virtiofs", Source: "data"}}
	testPostgres(t, i, func(cfg *vm.Config) {
		cfg.Shares = []vm.Share{{Tag: "data", Dir: data}}
	})
	info, err := os.Stat(filepath.Join(data, "PG_VERSION"))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("PG_VERSION in the host's directory = %v, %v, want mode 0600", info, err)
	}
}
