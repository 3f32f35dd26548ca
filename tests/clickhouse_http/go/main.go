// What Grafana's plugin does through clickhouse-go over HTTP; prints one JSON document.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

func main() {
	key := os.Args[2]
	db := clickhouse.OpenDB(&clickhouse.Options{
		Addr:        []string{os.Args[1]},
		Protocol:    clickhouse.HTTP,
		Auth:        clickhouse.Auth{Database: "agentrun", Username: "grafana", Password: key},
		Compression: &clickhouse.Compression{Method: clickhouse.CompressionGZIP},
		DialTimeout: 10 * time.Second,
		ReadTimeout: 30 * time.Second,
	})
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	out := map[string]any{}
	must := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	must(db.PingContext(ctx))

	rows, err := db.QueryContext(ctx, `SELECT number, toString(number), toLowCardinality('x'),
		[number], map('k', 'v'), toNullable(1), toDateTime64(0, 9, 'UTC') FROM numbers(100000)`)
	must(err)
	count, sum := 0, uint64(0)
	for rows.Next() {
		var n uint64
		var text, low string
		var list []uint64
		var pairs map[string]string
		var nullable *uint8
		var at time.Time
		must(rows.Scan(&n, &text, &low, &list, &pairs, &nullable, &at))
		if text != fmt.Sprint(n) || low != "x" || list[0] != n || pairs["k"] != "v" {
			must(fmt.Errorf("row %d is wrong: %s %s %v %v", n, text, low, list, pairs))
		}
		count++
		sum += n
	}
	must(rows.Err())
	out["rows"], out["sum"] = count, sum

	var runs uint64
	must(db.QueryRowContext(ctx, "SELECT count() FROM runs WHERE AgentName = ?", "weather").Scan(&runs))
	out["runs"] = runs
	must(db.QueryRowContext(ctx, `SELECT count() FROM agent_runs
		SETTINGS additional_table_filters={'agent_runs': 'AgentName = \'nobody\''}`).Scan(&runs))
	out["filtered"] = runs

	_, err = db.QueryContext(ctx, "SELECT file('/etc/hostname')")
	var refused *clickhouse.Exception
	if errors.As(err, &refused) {
		out["refused"] = refused.Code
	} else if err != nil {
		out["refused_text"] = err.Error()
	}
	must(json.NewEncoder(os.Stdout).Encode(out))
}
