// Shapes on the globe, in degrees; a position is [longitude, latitude].

const M_PER_DEG = 6371008.8 * Math.PI / 180;
const CORNERS = 48;

export function circle([lon, lat], radiusM) {
  const ring = [];
  const north = radiusM / M_PER_DEG;
  const east = north / Math.max(0.01, Math.cos(lat * Math.PI / 180));
  for (let n = 0; n <= CORNERS; n += 1) {
    const angle = 2 * Math.PI * n / CORNERS;
    ring.push([lon + east * Math.sin(angle), lat + north * Math.cos(angle)]);
  }
  return { type: "Polygon", coordinates: [ring] };
}

export function distanceM([lon0, lat0], [lon1, lat1]) {
  const rad = Math.PI / 180;
  const a = Math.sin((lat1 - lat0) * rad / 2) ** 2
    + Math.cos(lat0 * rad) * Math.cos(lat1 * rad) * Math.sin((lon1 - lon0) * rad / 2) ** 2;
  return 2 * 6371008.8 * Math.asin(Math.min(1, Math.sqrt(a)));
}

export function feature(geometry, properties = {}) {
  return { type: "Feature", geometry, properties };
}

export function point(lon, lat, properties) {
  return feature({ type: "Point", coordinates: [lon, lat] }, properties);
}

export function collection(features) {
  return { type: "FeatureCollection", features };
}

// Longitude as the station has it: a map that was turned round the globe counts on.
export function wrapped(lon) {
  return ((lon + 180) % 360 + 360) % 360 - 180;
}
