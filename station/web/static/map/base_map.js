// The base map: outlines that are part of the station, and the agency's own tiles if it has any.  Nothing is loaded from
// anywhere else, and text is drawn with the system's fonts.

const VENDOR = "/static/vendor";
const LIGHT = {
  water: "#dbe6ee", land: "#f7f8f6", country: "#8593a0", state: "#a3afba", county: "#d3dae0",
  road: "#ffffff", roadEdge: "#c6ced6", building: "#e6e8e6", green: "#e4eede", label: "#3b4854", halo: "#ffffff",
};
const DARK = {
  water: "#0d141a", land: "#1b232a", country: "#66757f", state: "#4e5c67", county: "#2e3942",
  road: "#3a4853", roadEdge: "#141b21", building: "#222c34", green: "#1d2a24", label: "#b3c0cb", halo: "#10161b",
};

export const isDark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

export const colours = () => (isDark() ? DARK : LIGHT);

export function outlines() {
  const c = colours();
  const line = (id, source, kind, colour, width, minzoom = 0) => ({
    id, type: "line", source, minzoom, filter: ["==", ["get", "kind"], kind],
    layout: { "line-join": "round" }, paint: { "line-color": colour, "line-width": width },
  });
  const fill = (id, source) => ({
    id, type: "fill", source, filter: ["==", ["get", "kind"], "land"],
    paint: { "fill-color": c.land, "fill-outline-color": c.country },
  });
  return {
    version: 8,
    sources: {
      world: { type: "geojson", data: `${VENDOR}/outlines/world.json`, tolerance: 0.5 },
      us: { type: "geojson", data: `${VENDOR}/outlines/us.json`, tolerance: 0.4 },
    },
    layers: [
      { id: "water", type: "background", paint: { "background-color": c.water } },
      fill("land", "world"),
      fill("us-land", "us"),
      line("county", "us", "county", c.county, ["interpolate", ["linear"], ["zoom"], 5, 0.4, 10, 1.5], 5),
      line("state", "us", "state", c.state, ["interpolate", ["linear"], ["zoom"], 3, 0.6, 10, 2.5], 3),
      line("country", "world", "country", c.country, ["interpolate", ["linear"], ["zoom"], 2, 0.6, 10, 3]),
    ],
  };
}

// Layers for whatever the agency's tiles have: known names get their colour, all others are faint.
export async function addTiles(maplibre, map, address, before) {
  const { PMTiles, Protocol } = globalThis.pmtiles;
  const archive = new PMTiles(address);
  const protocol = new Protocol({ metadata: true });
  protocol.add(archive);
  maplibre.addProtocol("pmtiles", protocol.tile);
  const [header, metadata] = [await archive.getHeader(), await archive.getMetadata()];
  const isVector = header.tileType === 1;
  map.addSource("tiles", { type: isVector ? "vector" : "raster", url: `pmtiles://${address}` });
  if (!isVector) {
    map.addLayer({ id: "tiles", type: "raster", source: "tiles" }, before);
    return metadata.attribution;
  }
  for (const { id } of metadata.vector_layers || []) {
    for (const layer of layersOf(id)) map.addLayer({ source: "tiles", "source-layer": id, ...layer }, before);
  }
  return metadata.attribution;
}

function layersOf(name) {
  const c = colours();
  const isRoad = /road|transport|street|highway/.test(name);
  const area = /water|ocean|sea/.test(name) ? c.water : /build/.test(name) ? c.building
    : /land|park|green|wood|natural/.test(name) ? c.green : null;
  const layers = [];
  if (area) {
    const filter = ["==", ["geometry-type"], "Polygon"];
    layers.push({ id: `tiles-${name}-area`, type: "fill", filter, paint: { "fill-color": area } });
  }
  const filter = ["==", ["geometry-type"], "LineString"];
  const widths = (narrow, wide) => ["interpolate", ["exponential", 1.6], ["zoom"], 8, narrow, 18, wide];
  if (isRoad) {
    layers.push({ id: `tiles-${name}-edge`, type: "line", filter, paint: { "line-color": c.roadEdge, "line-width": widths(0.8, 22) } });
    layers.push({ id: `tiles-${name}`, type: "line", filter, paint: { "line-color": c.road, "line-width": widths(0.4, 18) } });
  } else if (/water|bound|admin/.test(name)) {
    layers.push({ id: `tiles-${name}`, type: "line", filter, paint: { "line-color": /water/.test(name) ? c.water : c.state, "line-width": 1 } });
  }
  if (isRoad || /place|city|town|label|poi/.test(name)) {
    layers.push({
      id: `tiles-${name}-text`, type: "symbol", minzoom: isRoad ? 13 : 4,
      layout: {
        "text-field": ["coalesce", ["get", "name:en"], ["get", "name"], ""], "text-size": 12,
        "symbol-placement": isRoad ? "line" : "point",
      },
      paint: { "text-color": c.label, "text-halo-color": c.halo, "text-halo-width": 1.4 },
    });
  }
  return layers;
}
