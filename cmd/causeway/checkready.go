package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// checkReady asks the process on this machine whether it is ready: for the health
// check of a container that has no other program in it.
func checkReady(ctx context.Context, c *common) error {
	p, err := c.load()
	if err != nil {
		return err
	}
	if err := p.err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	url := "http://" + reachable(p.config.withDefaults().Ops.Listen) + "/readyz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	resp, err := plainClient(1).Do(req)
	if err != nil {
		return fmt.Errorf("no process answers: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("read %s: %w", url, err)
	}
	fmt.Fprintf(c.stdout, "%s\n", bytes.TrimSpace(body))
	if resp.StatusCode != http.StatusOK {
		return errReported
	}
	return nil
}
